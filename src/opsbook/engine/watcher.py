"""Seeing a run through: this process executes it where no other does, and follows it where one does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opsbook.engine import locks
from opsbook.engine.executor import executed_by, itself
from opsbook.engine.gate import lock_paths
from opsbook.engine.membership import Membership
from opsbook.engine.obstacles import for_somebody
from opsbook.engine.owner_lock import OwnerLock
from opsbook.engine.setting import Setting
from opsbook.engine.states import RunState
from opsbook.engine.views import View, view_of
from opsbook.store.database import reading

if TYPE_CHECKING:
    from opsbook.engine.owner import Owner

LOOK_SECONDS = 0.1
"""How often somebody who follows a run looks at the store."""
WORKER_SECONDS = 1.0
"""How often they look whether a worker lives."""


@dataclass
class Watcher:
    """Sees a run through: executes it where no other process does, and follows it where one does."""

    setting: Setting
    show: Callable[[View], None]
    tell: Callable[[str], None]
    """Says a sentence to the person: what was taken up, who executes."""
    wait: bool = False
    """Stay while the run waits for approval or for a person."""
    interrupted: asyncio.Event | None = None
    """Set where the person wants to leave: at the next border between two changes."""

    async def see_through(self, run: str) -> View:
        """The run when it has ended, or waits for somebody and `wait` is not set, or the person left."""
        return await (self._see_embedded(run) if self.setting.embedded else self._see_shared(run))

    async def _see_embedded(self, run: str) -> View:
        lock = OwnerLock(self.setting.folder)
        told = False
        while True:
            if lock.take():
                # Imported late: the durable engine costs more than following does.
                from opsbook.engine.owner import Owner

                try:
                    async with Owner(self.setting, brief=True) as owner:
                        for other in owner.recovered:
                            self.tell(f"goes on with run {other}, which was interrupted")
                        if (view := await self._carry_out(run, owner, lambda: False)) is not None:
                            return view
                finally:
                    lock.give_back()
            if not told:
                told = True
                self.tell(f"another process executes ({lock.holder()}); this one follows")
            view = await self._follow(run, lock.free)
            if view is not None:
                return view
            self.tell("the process that executed is gone; this one takes over")

    async def _see_shared(self, run: str) -> View:
        """Followed where a worker lives; where none does, this process executes the one run itself."""
        told = False
        while True:
            if who := executed_by(self.setting):
                if not told:
                    told = True
                    self.tell(f"executed by a worker ({who}); this one follows")
                view = await self._follow(run, self._no_worker())
            else:
                if told:
                    self.tell("no worker is left; this one executes the run")
                from opsbook.engine.owner import Owner

                with Membership(self.setting, itself(), only=run) as membership:
                    async with Owner(self.setting, membership=membership, tell=self.tell, brief=True) as owner:
                        view = await self._carry_out(run, owner, membership.lost.is_set)
            if view is not None:
                return view

    def _no_worker(self) -> Callable[[], bool]:
        """Whether no worker lives, asked once a second."""
        asked = time.monotonic()

        def gone() -> bool:
            nonlocal asked
            if time.monotonic() - asked < WORKER_SECONDS:
                return False
            asked = time.monotonic()
            return not executed_by(self.setting)

        return gone

    async def _carry_out(self, run: str, owner: Owner, gone: Callable[[], bool]) -> View | None:
        view = await self._follow(run, gone, owner.ended)
        if view is None:
            return None
        if self.interrupted is not None and self.interrupted.is_set():
            await owner.drain()
            return view_of(self.setting.store, run)
        # Others that were taken up must not be cut off again.
        while owner.busy and not (self.interrupted and self.interrupted.is_set()):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
        return view

    async def _follow(self, run: str, gone: Callable[[], bool], ended: asyncio.Event | None = None) -> View | None:
        """Show the run until it stands; None where its executor is gone before. `ended`: a reason to look at once."""
        while True:
            view = view_of(self.setting.store, run)
            self.show(view)
            parked = (view.waits or self._behind_somebody(view)) and not self.wait
            if view.state.ended or parked or (self.interrupted and self.interrupted.is_set()):
                return view
            if gone():
                return None
            if ended is None:
                await asyncio.sleep(LOOK_SECONDS)
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), LOOK_SECONDS)
            ended.clear()

    def _behind_somebody(self, view: View) -> bool:
        """Whether the lock that it waits for is held until a person does something."""
        if view.state is not RunState.QUEUED:
            return False
        paths = lock_paths(view.run.system, view.run.environment, view.procedure)
        with reading(self.setting.store) as connection:
            return any(for_somebody(one) for one in locks.in_the_way(connection, paths, view.run.id))
