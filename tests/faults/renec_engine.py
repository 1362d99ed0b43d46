"""A process that is the engine of the example's book and dies where it is told: `python -m tests.faults.renec_engine`.

What it applies is real. Each attempt is noted in a file before it begins, so that what is done again is counted at the
door of the target and not in the engine's own store.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.connectors.change import Change, Done, Executor, Json, More, Sink
from opsbook.engine.execution import Execution
from opsbook.engine.setting import open_setting
from opsbook.engine.watcher import Watcher
from tests.faults.targets import happened

MIDDLE_SECONDS = 0.15
"""How long after its begin a change is taken to be in its middle; one that is over by then dies right after it."""
SEE_SECONDS = 150.0


class Deadly:
    """An executor at whose door the process dies."""

    def __init__(self, inner: Executor, attempts: Path, fault: str, mark: Path) -> None:
        self.inner, self.attempts, self.fault, self.mark = inner, attempts, fault, mark

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        if cursor is None:
            happened(self.attempts.parent, key, self.attempts.name)
        self._die(key, "before")
        work = asyncio.ensure_future(self.inner.apply(key, change, cursor, out))
        await asyncio.wait({work}, timeout=MIDDLE_SECONDS if self._meant(key, "middle") else None)
        self._die(key, "middle")
        said = await work
        self._die(key, "after")
        return said

    async def end(self, key: str, change: Change) -> bool:
        return await self.inner.end(key, change)

    def _meant(self, key: str, place: str) -> bool:
        return f"{key.partition('/')[2]}:{place}" == self.fault and not self.mark.exists()

    def _die(self, key: str, place: str) -> None:
        if self._meant(key, place):
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


async def main(book: str, run: str, attempts: str, fault: str, mark: str) -> None:
    system = in_environment(load_book(Path(book), catalogue()), "rehearsal")
    setting = open_setting(system)
    executor = Execution.executor

    async def deadly(self: Execution, change: Change) -> Any:
        return Deadly(await executor(self, change), Path(attempts), fault, Path(mark))

    Execution.executor = deadly  # type: ignore[method-assign]
    try:
        async with asyncio.timeout(SEE_SECONDS):
            view = await Watcher(setting, lambda view: None, lambda text: None, wait=False).see_through(run)
    finally:
        setting.close()
    print(json.dumps({"state": view.run.state, "message": view.run.message}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
