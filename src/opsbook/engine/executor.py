"""Being a process that executes runs, for as long as it lives: the worker, and a server that executes beside serving.

    async with executing(setting) as executor:
        ...                        # runs are taken up and seen through meanwhile
        await executor.drain()     # before an end that cuts nothing off

Of an embedded store one process at a time executes: this one waits until the one before is gone, and takes over then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from opsbook.engine.owner_lock import OwnerLock
from opsbook.engine.setting import Setting
from opsbook.errors import OpsbookError, UsageError

if TYPE_CHECKING:
    from opsbook.engine.owner import Owner

log = logging.getLogger(__name__)

AGAIN_SECONDS = 0.5
"""How often it looks whether it can execute, where another process does."""
PAUSE_AFTER_FAULT = 2.0
"""Seconds after which it begins anew where the store or the engine could not be used."""


class Executor:
    """What a process that executes can be asked."""

    def __init__(self, setting: Setting, tell: Callable[[str], None] = log.info) -> None:
        self.setting, self.tell = setting, tell
        self._owner: Owner | None = None
        self._settled = asyncio.Event()
        self._over = asyncio.Event()

    @property
    def active(self) -> bool:
        """Whether this process executes now; False where it waits until another one is gone."""
        return self._owner is not None

    @property
    def busy(self) -> bool:
        """Whether a run that this process executes is in the middle of something."""
        return self._owner is not None and self._owner.busy

    async def settled(self) -> bool:
        """Wait until it executes, or knows that another process does; which of both."""
        await self._settled.wait()
        return self.active

    async def drain(self) -> None:
        """Let every run finish the change that it is in, and begin no other."""
        self._over.set()
        if self._owner is not None:
            await self._owner.drain()

    async def stay(self) -> None:
        """Execute until cancelled. What goes wrong is logged, and begun anew."""
        while not self._over.is_set():
            try:
                await self._once()
            except OpsbookError as error:
                log.error("executes nothing: %s", error)
                await asyncio.sleep(PAUSE_AFTER_FAULT)

    async def _once(self) -> None:
        lock = OwnerLock(self.setting.folder)
        if not lock.take():
            self._settled.set()
            await asyncio.sleep(AGAIN_SECONDS)
            return
        # Imported late: the durable engine costs more than following does.
        from opsbook.engine.owner import Owner

        try:
            async with Owner(self.setting) as self._owner:
                for run in self._owner.recovered:
                    self.tell(f"goes on with run {run}, which was interrupted")
                self._settled.set()
                await asyncio.Event().wait()
        finally:
            self._owner = None
            lock.give_back()


@asynccontextmanager
async def executing(setting: Setting, tell: Callable[[str], None] = log.info) -> AsyncIterator[Executor]:
    """Execute runs of the store meanwhile; `tell` gets a sentence on what was taken up. Raises UsageError."""
    if not setting.embedded:
        raise UsageError(
            "runs are executed on an embedded store only, and this one is PostgreSQL",
            "leave OPSBOOK_STORE out, or let it name a file",
        )
    executor = Executor(setting, tell)
    staying = asyncio.create_task(executor.stay())
    try:
        yield executor
    finally:
        staying.cancel()
        with suppress(asyncio.CancelledError):
            await staying


def executed_by(setting: Setting) -> str:
    """Who executes runs of the store now, for people; empty where nobody does."""
    lock = OwnerLock(setting.folder)
    return "" if lock.free() else lock.holder()
