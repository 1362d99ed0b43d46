"""Being a process that executes runs, for as long as it lives: the worker, and a server that executes beside serving.

    async with executing(setting) as executor:
        await executor.settled()   # raises what keeps it from executing
        ...                        # runs are taken up and seen through meanwhile
        await executor.drain()     # before an end that cuts nothing off

Of an embedded store one process at a time executes: this one waits until the one before is gone, and takes over then.
On a PostgreSQL store it is one of any number of workers; where it loses its lease it stops, and begins anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from opsbook.engine.access import local_actor
from opsbook.engine.membership import LEASE_SECONDS, Membership
from opsbook.engine.owner_lock import OwnerLock
from opsbook.engine.setting import Setting
from opsbook.engine.states import RunState
from opsbook.errors import OpsbookError
from opsbook.store import workers
from opsbook.store.database import reading

if TYPE_CHECKING:
    from opsbook.engine.owner import Owner
    from opsbook.store.runs import RunRow

log = logging.getLogger(__name__)

AGAIN_SECONDS = 0.5
"""How often it looks whether it can execute, where another process does."""
PAUSE_AFTER_FAULT = 2.0
"""Seconds after which it begins anew where the store or the engine could not be used."""


def itself() -> str:
    """This process, for people."""
    return f"{local_actor().name} on {socket.gethostname()}, pid {os.getpid()}"


class Executor:
    """What a process that executes can be asked."""

    def __init__(self, setting: Setting, tell: Callable[[str], None], lease: float) -> None:
        self.setting, self.tell, self.lease = setting, tell, lease
        self._owner: Owner | None = None
        self._error: OpsbookError | None = None
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
        """Wait until it executes, or knows that another process does; which of both. Raises what keeps it from it."""
        await self._settled.wait()
        if self._error is not None:
            raise self._error
        return self.active

    async def drain(self) -> None:
        """Let every run finish the change that it is in, and begin no other."""
        self._over.set()
        if self._owner is not None:
            await self._owner.drain()

    async def stay(self) -> None:
        """Execute until cancelled; what goes wrong is begun anew. Who waits for `settled` is told what keeps it from
        beginning, and may leave."""
        told = ""
        while not self._over.is_set():
            try:
                await (self._own() if self.setting.embedded else self._work())
            except OpsbookError as error:
                if not self._settled.is_set():
                    self._error = error
                    self._settled.set()
                elif error.message != told:
                    log.error("executes nothing for the moment: %s", error)
                    told = error.message
                await asyncio.sleep(PAUSE_AFTER_FAULT)

    async def _own(self) -> None:
        lock = OwnerLock(self.setting.folder)
        if not lock.take():
            self._settled.set()
            await asyncio.sleep(AGAIN_SECONDS)
            return
        try:
            await self._execute(None)
        finally:
            lock.give_back()

    async def _work(self) -> None:
        async with Membership(self.setting, itself(), self.lease) as membership:
            await self._execute(membership)

    async def _execute(self, membership: Membership | None) -> None:
        # Imported late: the durable engine costs more than following does.
        from opsbook.engine.owner import Owner

        try:
            async with Owner(self.setting, membership=membership, tell=self.tell) as self._owner:
                for run in self._owner.recovered:
                    self.tell(f"goes on with run {run}, which was interrupted")
                self._error = None
                self._settled.set()
                await (membership.lost if membership else asyncio.Event()).wait()
        finally:
            self._owner = None


@asynccontextmanager
async def executing(
    setting: Setting, tell: Callable[[str], None] = log.info, lease: float = LEASE_SECONDS
) -> AsyncIterator[Executor]:
    """Execute runs of the store meanwhile. `tell` gets a sentence on what was taken up; `lease`: for how many seconds a
    worker of a shared store may be silent before others go on with its runs.
    """
    executor = Executor(setting, tell, lease)
    staying = asyncio.create_task(executor.stay())
    try:
        yield executor
    finally:
        staying.cancel()
        with suppress(asyncio.CancelledError):
            await staying


def interrupted(setting: Setting, found: Iterable[RunRow]) -> set[str]:
    """The ids of those runs whose process is gone in the middle of them, and with which nobody goes on."""
    ids = [run.id for run in found if run.state in (RunState.RUNNING, RunState.UNDOING)]
    return {id for id in ids if not executed_by(setting, id)}


def executed_by(setting: Setting, run: str = "") -> str:
    """Who executes a run now, or runs of the system at all, for people; empty where nobody does."""
    if setting.embedded:
        lock = OwnerLock(setting.folder)
        return "" if lock.free() else lock.holder()
    with reading(setting.store) as connection:
        if run:
            return workers.claimed(connection).get(run, "")
        return "; ".join(workers.alive(connection, setting.system_name))
