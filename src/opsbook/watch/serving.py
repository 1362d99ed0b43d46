"""One process that watches an environment: the engine's executor, the parts of the watch, and the doors to both."""

from __future__ import annotations

import asyncio
import fcntl
import importlib
import importlib.util
import json
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import Any

from opsbook.engine.executor import executing
from opsbook.engine.setting import Setting
from opsbook.errors import Refused
from opsbook.store.database import unusable
from opsbook.store.shared_files import make_file
from opsbook.watch.contract import Watch
from opsbook.watch.leadership import Leadership
from opsbook.watch.loop import Loop
from opsbook.watch.registry import parts

SERVER = "opsbook.api.server"
"""The module whose `serve_http` opens the doors."""
CALM_END = 5.0
"""Seconds that a change which is being made gets to finish when the process is told to end."""

Doors = Callable[..., Coroutine[Any, Any, None]]


async def serve(
    watch: Watch, doors: Mapping[str, Any] | None, tell: Callable[[str], None], stop: asyncio.Event | None = None
) -> None:
    """Watch until SIGTERM or SIGINT, or until `stop` is set. `doors` says where HTTP is served; None: nowhere.

    Raises UsageError where the network must not be served, OpsbookError where a port is taken.
    """
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    open_doors = _doors() if doors is not None else None
    if doors is not None and open_doors is None:
        tell("no HTTP: it needs more packages → pip install 'opsbook[serve]'")
    setting = watch.setting
    async with AsyncExitStack() as stack:
        executor = await stack.enter_async_context(executing(setting, tell))
        leadership = None if setting.embedded else Leadership(watch)
        watching = Loop(watch, parts(watch), leadership.leads if leadership else lambda: True)
        jobs = [asyncio.create_task(watching.run(stop))]
        if leadership:
            jobs.append(asyncio.create_task(leadership.keep(stop)))
            jobs.append(asyncio.create_task(_called(watch, stop)))
        if open_doors and doors is not None:
            jobs.append(asyncio.create_task(open_doors(watch, watching.parts, **doors, stop=stop)))
        many = len(watch.system.checks)
        tell(f"watches {watch.system.model.system} {watch.system.name}: {many} check{'' if many == 1 else 's'}")
        ended = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([*jobs, ended], return_when=asyncio.FIRST_COMPLETED)
            stop.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(CALM_END):
                    await executor.drain()
        finally:
            stop.set()
            ended.cancel()
            _, late = await asyncio.wait(jobs, timeout=CALM_END)
            for job in late:
                job.cancel()
            found = await asyncio.gather(*jobs, return_exceptions=True)
        for error in found:
            if isinstance(error, BaseException) and not isinstance(error, asyncio.CancelledError):
                raise error


async def _called(watch: Watch, stop: asyncio.Event) -> None:
    from opsbook.watch.called import Called  # only here: who has a file loads no driver

    await Called(watch).keep(stop)


def _doors() -> Doors | None:
    if importlib.util.find_spec(SERVER) is None:
        return None
    try:
        found: Doors = importlib.import_module(SERVER).serve_http
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("opsbook"):
            raise
        return None
    return found


@contextmanager
def the_only_one(setting: Setting) -> Iterator[None]:
    """Hold the lock of serving beside an embedded store. Raises Refused where another process serves it, and
    StoreFailed."""
    if not setting.embedded:
        yield
        return
    path = setting.folder / "serve.lock"
    try:
        make_file(path)
        opened = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise unusable(path, error.strerror or str(error)) from error
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"another process serves this store: {_holder(path.read_text(encoding='utf-8'))}",
                "stop that one, or let several serve one PostgreSQL (OPSBOOK_STORE)",
            ) from None
        file.seek(0)
        file.truncate()
        json.dump({"pid": os.getpid(), "host": socket.gethostname()}, file)
        file.flush()
        yield


def _holder(text: str) -> str:
    try:
        told: dict[str, Any] = json.loads(text)
        return f"pid {told['pid']} on {told['host']}"
    except (ValueError, KeyError, TypeError):
        return "nobody knows which"
