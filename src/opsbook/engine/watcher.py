"""Seeing a run through: this process executes it where no other does, and follows it where one does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opsbook.engine import locks
from opsbook.engine.gate import lock_paths
from opsbook.engine.obstacles import for_somebody
from opsbook.engine.owner_lock import OwnerLock
from opsbook.engine.setting import Setting
from opsbook.engine.states import RunState
from opsbook.engine.views import View, view_of
from opsbook.errors import UsageError
from opsbook.store.database import reading

if TYPE_CHECKING:
    from opsbook.engine.owner import Owner

LOOK_SECONDS = 0.1
"""How often somebody who follows a run looks at the store."""


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
        if not self.setting.embedded:
            raise UsageError(
                "runs are executed on an embedded store only, and this one is PostgreSQL",
                "leave OPSBOOK_STORE out, or let it name a file",
            )
        lock = OwnerLock(self.setting.folder)
        told = False
        while True:
            if lock.take():
                # Imported late: the durable engine costs more than following does.
                from opsbook.engine.owner import Owner

                try:
                    async with Owner(self.setting) as owner:
                        for other in owner.recovered:
                            self.tell(f"goes on with run {other}, which was interrupted")
                        return await self._carry_out(run, owner)
                finally:
                    lock.give_back()
            if not told:
                told = True
                self.tell(f"another process executes ({lock.holder()}); this one follows")
            view = await self._follow(run, lock.free)
            if view is not None:
                return view
            self.tell("the process that executed is gone; this one takes over")

    async def _carry_out(self, run: str, owner: Owner) -> View:
        view = await self._follow(run, lambda: False)
        assert view is not None
        if self.interrupted is not None and self.interrupted.is_set():
            await owner.drain()
            return view_of(self.setting.store, run)
        # Others that were taken up must not be cut off again.
        while owner.busy and not (self.interrupted and self.interrupted.is_set()):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
        return view

    async def _follow(self, run: str, gone: Callable[[], bool]) -> View | None:
        """Show the run until it stands; None where its executor is gone before."""
        while True:
            view = view_of(self.setting.store, run)
            self.show(view)
            parked = (view.waits or self._behind_somebody(view)) and not self.wait
            if view.state.ended or parked or (self.interrupted and self.interrupted.is_set()):
                return view
            if gone():
                return None
            await asyncio.sleep(LOOK_SECONDS)

    def _behind_somebody(self, view: View) -> bool:
        """Whether the lock that it waits for is held until a person does something."""
        if view.state is not RunState.QUEUED:
            return False
        paths = lock_paths(view.run.system, view.run.environment, view.procedure)
        with reading(self.setting.store) as connection:
            return any(for_somebody(one) for one in locks.in_the_way(connection, paths, view.run.id))
