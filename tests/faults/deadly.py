"""A process that is the engine of any book and dies where it is told: at a border of a change, or in its middle.

What it applies is real. Each attempt is noted in a file before it begins, so that what is done again is counted at the
door of the target and not in the engine's own store.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.connectors.change import Change, Done, Executor, Json, More, Sink
from opsbook.engine.execution import Execution, key_of
from opsbook.engine.interpreter import Interpreter
from opsbook.engine.procedure import Step
from opsbook.engine.setting import open_setting
from opsbook.engine.watcher import Watcher
from tests.faults.targets import happened

PLACES = ("intent", "before", "middle", "after", "noted")
"""Before the intent of a change is written · when it is written and nothing has happened · while it happens · when it
has happened and nothing of that is written · when the durable engine knows the outcome and the store does not."""
LOOKS = ("before", "middle", "after")
"""Those of a step that only looks."""
SEE_SECONDS = 120.0
"""A run that has not come to stand by then is stuck."""


@dataclass(frozen=True)
class Fault:
    """Where the process dies, once."""

    key: str
    """`step/index` of a change, or the id of a step that only looks."""
    place: str
    """One of PLACES, or `end`: while what may still run is ended."""
    seconds: float = 0.0
    """For `middle`: how long after the begin. What is over by then dies at its end."""

    def __str__(self) -> str:
        return f"{self.key}:{self.place}" + (f" ({self.seconds * 1000:.0f} ms)" if self.place == "middle" else "")


class Doom:
    """The faults of this process that have not come yet."""

    def __init__(self, faults: Sequence[Fault], folder: Path) -> None:
        self.faults, self.folder = faults, folder

    def meet(self, key: str, *places: str) -> None:
        """Die here, where that is wanted."""
        for fault in self._wanted(key, places):
            self._die(fault)

    def fuse(self, key: str) -> list[threading.Timer]:
        """Die in a while, from a thread that no busy event loop holds up."""
        timers = [threading.Timer(one.seconds, self._die, (one,)) for one in self._wanted(key, ("middle",))]
        for timer in timers:
            timer.start()
        return timers

    def _wanted(self, key: str, places: tuple[str, ...]) -> list[Fault]:
        return [one for one in self.faults if one.key == key and one.place in places and not self._mark(one).exists()]

    def _mark(self, fault: Fault) -> Path:
        return self.folder / f"died-{self.faults.index(fault)}"

    def _die(self, fault: Fault) -> None:
        self._mark(fault).touch()
        os.kill(os.getpid(), signal.SIGKILL)


class Deadly:
    """An executor at whose door the process dies."""

    def __init__(self, inner: Executor, doom: Doom) -> None:
        self.inner, self.doom = inner, doom
        self._timers: list[threading.Timer] = []
        self._begun = 0.0

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        place = key.partition("/")[2]
        if not self._begun:
            self._begun = time.monotonic()
            happened(self.doom.folder, key, "attempts")
            self.doom.meet(place, "before")
            self._timers = self.doom.fuse(place)
        try:
            said = await self.inner.apply(key, change, cursor, out)
        except Exception:
            self._stop()
            raise
        if isinstance(said, Done):
            self._stop()
            happened(self.doom.folder, f"{place} {time.monotonic() - self._begun:.4f}", "durations")
            self.doom.meet(place, "middle", "after")
        return said

    async def end(self, key: str, change: Change) -> bool:
        self.doom.meet(key.partition("/")[2], "end")
        return await self.inner.end(key, change)

    def _stop(self) -> None:
        for timer in self._timers:
            timer.cancel()


def doomed(faults: Sequence[Fault], folder: Path) -> None:
    """From now on this process dies where it is told."""
    doom = Doom(faults, folder)
    executor, begin, absorb, read = Execution.executor, Execution.begin_change, Interpreter._absorb, Interpreter._read

    async def deadly(self: Execution, change: Change) -> Any:
        return Deadly(await executor(self, change), doom)

    def beginning(self: Execution, step: Step, index: int, change: Any, *, undo: bool = False) -> Any:
        doom.meet(key_of("", step.id, index, undo=undo)[1:], "intent")
        return begin(self, step, index, change, undo=undo)

    def absorbing(self: Interpreter, outcome: dict[str, Any]) -> None:
        doom.meet(str(outcome["key"]).partition("/")[2], "noted")
        absorb(self, outcome)

    async def reading(self: Interpreter, step: Step) -> Any:
        doom.meet(step.id, "before")
        timers, started = doom.fuse(step.id), time.monotonic()
        said = await read(self, step)
        for timer in timers:
            timer.cancel()
        happened(folder, f"{step.id} {time.monotonic() - started:.4f}", "durations")
        doom.meet(step.id, "middle", "after")
        return said

    Execution.executor = deadly  # type: ignore[method-assign]
    Execution.begin_change = beginning  # type: ignore[method-assign]
    Interpreter._absorb = absorbing  # type: ignore[method-assign]
    Interpreter._read = reading  # type: ignore[method-assign]


async def engine(book: Path, environment: str, run: str, faults: Sequence[Fault], folder: Path) -> None:
    """See one run through, or die of a fault. Attempts, durations and marks of deaths are left in the folder."""
    system = in_environment(load_book(book, catalogue()), environment or None)
    setting = open_setting(system)
    doomed(faults, folder)
    try:
        async with asyncio.timeout(SEE_SECONDS):
            view = await Watcher(setting, lambda view: None, lambda text: None, wait=False).see_through(run)
    finally:
        setting.close()
    print(f"stands at {view.run.state}: {view.run.message}")
