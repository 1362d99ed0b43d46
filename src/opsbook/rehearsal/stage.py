"""Where the runs of a rehearsal happen: executed here or followed, and answered for in place of people."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from opsbook.book.system import System
from opsbook.engine import acts, executor
from opsbook.engine.access import Actor
from opsbook.engine.setting import Setting
from opsbook.engine.states import RunState
from opsbook.engine.views import View, view_of
from opsbook.engine.waiting import items_of
from opsbook.errors import OpsbookError, Refused
from opsbook.rehearsal.staging import END

LOOK_SECONDS = 0.1
"""How often the run is looked at."""
LETTING_GO_SECONDS = 120.0
"""What a run gets at least to end, or to be taken back, once it was cancelled."""
BACK_TO_THERE = 3.0
"""How many times as long as its steps took it may take to undo them: a busy machine is slow both ways."""
MOST_APPROVALS = 20
"""A run whose plan changes more often than this is not approved any more."""


MOST_UNKNOWN = 5
"""So many changes of one run may have an outcome that nobody knows."""


class Unapproved(OpsbookError):
    """The environment's policy does not let the rehearsal say yes."""


class Stuck(OpsbookError):
    """A run neither ends nor goes on."""


class Stopped(OpsbookError):
    """The person who looks on wants to leave."""


@asynccontextmanager
async def executing(setting: Setting, tell: Callable[[str], None]) -> AsyncIterator[bool]:
    """Runs are executed: by this process (True), or by the one that does already; where that ends, by this one."""
    async with executor.executing(setting, tell) as here:
        own = await here.settled()
        if not own:
            tell(f"another process executes ({executor.executed_by(setting)}); this one follows")
        try:
            yield own
        finally:
            await here.drain()


@dataclass
class Stage:
    """Sees the runs of one rehearsal through, and answers what they ask for."""

    setting: Setting
    system: System
    answers: Actor
    """Who approves and ticks: never the one that asked for the run."""
    interrupted: asyncio.Event
    notes: list[str] = field(default_factory=list)
    behind: list[str] = field(default_factory=list)
    """Runs that were still being taken back when nobody waited for them any longer."""

    async def play(self, run: str, seconds: float) -> View:
        """The run when all its steps are done and it waits for its end, when it has ended, or when it is ambiguous.

        Raises Unapproved where policy does not let the rehearsal approve, Stuck where the time is over, and Stopped.
        """
        deadline = self.setting.clock.monotonic() + seconds
        approvals = 0
        while self.setting.clock.monotonic() < deadline:
            view = view_of(self.setting.store, run)
            if view.state.ended or (view.waits and view.state is RunState.AMBIGUOUS) or at_end(view):
                return view
            if self.interrupted.is_set():
                raise Stopped("the rehearsal was interrupted")
            if view.waits and view.state is RunState.PERSON:
                self._tick(view)
            elif view.waits and view.state is RunState.APPROVAL:
                approvals += 1
                self._approve(view, approvals)
            await asyncio.sleep(LOOK_SECONDS)
        raise Stuck(f"it did not end within {seconds:.0f} s")

    async def take_back(self, run: str, reason: str) -> View:
        """The run after it was cancelled and undone."""
        view = view_of(self.setting.store, run)
        if not view.state.ended and view.state is not RunState.AMBIGUOUS:
            acts.cancel(self.setting, view, self.answers, reason, undo=True)
        seconds = max(LETTING_GO_SECONDS, BACK_TO_THERE * seconds_there(view))
        deadline = self.setting.clock.monotonic() + seconds
        while self.setting.clock.monotonic() < deadline:
            view = view_of(self.setting.store, run)
            if view.state.ended or (view.waits and view.state is RunState.AMBIGUOUS):
                return view
            await asyncio.sleep(LOOK_SECONDS)
        self.behind.append(run)
        raise Stuck(f"it could not be taken back within {seconds:.0f} s")

    async def catch_up(self) -> None:
        """Wait a while for what is still being taken back: the next procedure is not to find its locks."""
        deadline = self.setting.clock.monotonic() + LETTING_GO_SECONDS
        while self.behind and self.setting.clock.monotonic() < deadline:
            views = [view_of(self.setting.store, run) for run in self.behind]
            self.behind = [one.run.id for one in views if not one.state.ended and not one.waits]
            await asyncio.sleep(LOOK_SECONDS)
        self.behind.clear()

    async def let_go(self, run: str, reason: str) -> View:
        """The run after it was taken back, though nobody knows what became of a change of it.

        A person would look, and decide; the rehearsal decides that it did not happen, so that what came before is taken
        back and the next procedure is not kept out.
        """
        view = await self.take_back(run, reason)
        for _ in range(MOST_UNKNOWN):
            if view.state is not RunState.AMBIGUOUS:
                break
            note = "decided by the rehearsal; nobody looked"
            key = acts.resolve(self.setting, view, self.answers, "not-done", note, give_up=reason)
            self.notes.append(f"the rehearsal took {key.removeprefix(f'{run}/')} for not done, to go on: nobody looked")
            await self._moved(run)
            view = await self.take_back(run, reason)
        return view

    async def _moved(self, run: str) -> None:
        """Until the run no longer waits to be told what became of a change."""
        deadline = self.setting.clock.monotonic() + LETTING_GO_SECONDS
        while self.setting.clock.monotonic() < deadline:
            view = view_of(self.setting.store, run)
            if view.state is not RunState.AMBIGUOUS or any(one.state == "ambiguous" for one in view.changes):
                return
            await asyncio.sleep(LOOK_SECONDS)

    def _tick(self, view: View) -> None:
        step = next(one for one in view.procedure.steps if one.id == view.last_step)
        act = acts.tick(self.setting, view, self.answers, None, "answered by the rehearsal; nobody did it")
        self.notes.append(f"step {step.id}: the rehearsal answered “{act}” ({len(items_of(step))} in this step)")

    def _approve(self, view: View, number: int) -> None:
        if number > MOST_APPROVALS:
            raise Unapproved(f"its plan changed {MOST_APPROVALS} times")
        _, digest = acts.what_waits(view)
        try:
            acts.approve(self.setting, self.system, view, self.answers, digest)
        except Refused as error:
            raise Unapproved(f"{view.run.message}; {error.message}", error.hint) from error
        self.notes.append(f"the rehearsal approved plan {digest[:12]}: {view.run.message}")


def at_end(view: View) -> bool:
    """Whether everything was done, and the run waits for the rehearsal's own last act."""
    return view.waits and view.state is RunState.PERSON and view.last_step == END


def seconds_there(view: View) -> float:
    """What the steps of a run took that have ended, without what it waited for the rehearsal."""
    rows = [row for name, row in view.steps.items() if name != END]
    return sum(row.ended_at - row.started_at for row in rows if row.ended_at and row.started_at)
