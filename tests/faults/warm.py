"""Processes that are ready at once: forks of one that has loaded everything, and as mortal as any other.

An interpreter that loads the engine takes a second, and a sweep starts a thousand of them. A server of forks loads it
once; each fork has a store, connections, threads and an event loop of its own, and SIGKILL ends it as any program.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.faults.loaded"])


def _ready() -> None:
    """Start the server of forks where the tests can be imported, whatever the folder of this process is."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *([before] if before else [])])
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


Main = Callable[..., Coroutine[Any, Any, Any]]


def _enter(main: Main, log: Path, env: dict[str, str], given: tuple[Any, ...]) -> None:
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    os.environ.update(env)
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(main(*given))


class Warm:
    """A process that runs a coroutine; what it prints is in its log."""

    def __init__(self, main: Main, *given: Any, log: Path, env: dict[str, str] | None = None) -> None:
        _ready()
        self.log = log
        self._process = _context.Process(target=_enter, args=(main, log, env or {}, given))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def wait(self, seconds: float) -> int | None:
        """Its return code, negative for a signal; None where it still runs after this time."""
        self._process.join(seconds)
        return self._process.exitcode

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._process.kill()
        self._process.join()

    @property
    def killed(self) -> bool:
        return self._process.exitcode == -signal.SIGKILL

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""
