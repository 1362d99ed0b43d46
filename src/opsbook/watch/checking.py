"""The part that runs the checks of a book at their intervals, keeps their results, and says what they mean.

A result and what is decided by it are stored in one transaction: a process that dies in between has done neither, and
the next one runs the check again in its slot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from opsbook.book.checks import Check
from opsbook.checks.causes import fold
from opsbook.checks.evaluate import Result, State
from opsbook.checks.sweep import sweep
from opsbook.connectors.contract import Connections, Failure
from opsbook.observations.registry import observations
from opsbook.store import history
from opsbook.store.database import reading
from opsbook.watch import rhythm
from opsbook.watch.agenda import Agenda
from opsbook.watch.contract import Signal, Watch, soonest
from opsbook.watch.deciding import tell
from opsbook.watch.registry import part

PATIENCE = 1.0
"""Seconds that a tick waits for what it has asked before it looks what else is due."""
GATHER = 0.05
"""Seconds in which further answers are awaited once there is one: they are stored in one transaction."""
MOST_AT_ONCE = 200
"""Lanes that are asked side by side: after a start all checks of a large book are due together."""
STILL_NEW = timedelta(seconds=5)
"""How long the answer to a question that was asked out of turn serves others that would ask it too."""
SLOWEST = 8
"""A component whose reads time out is asked this many times less often at most."""
REMEMBERED = timedelta(days=2)
"""How far back the last result of a check is looked for at a start."""
BASELINE_LASTS = timedelta(minutes=10)
"""How long a median over days is used before it is counted anew."""


@dataclass
class _Baselines:
    known: dict[str, float] = field(default_factory=dict)
    at: datetime | None = None


@part
class Checking:
    """Runs what is due, one question to a component at a time, and never waits for one component with another."""

    name = "checks"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        system = watch.system
        self.checks = {check.id: check for check in system.checks}
        self.latest: dict[str, Result] = {}
        """The newest result of each check, its cause as it is now."""
        self.slow: dict[str, int] = {}
        """Component → how many times less often it is asked, where its reads time out."""
        self._shifts = rhythm.shifts(system.checks)
        linked = {
            name: [str(getattr(one, key)) for key in one.linked if getattr(one, key)]
            for name, one in system.components.items()
        }
        self._lanes = rhythm.lanes(linked)
        self._members: dict[str, list[str]] = {}
        for name, lane in self._lanes.items():
            self._members.setdefault(lane, []).append(name)
        self._of: dict[str, list[str]] = {}
        for check in system.checks:
            self._of.setdefault(check.of, []).append(check.id)
        self._vital = {id for id, check in self.checks.items() if observations()[check.observe].spec.vital}
        self._vitals_of: dict[str, list[Check]] = {}
        for check in system.checks:
            if check.id in self._vital:
                self._vitals_of.setdefault(check.of, []).append(check)
        self._asked_now: dict[str, tuple[datetime, asyncio.Task[Result]]] = {}
        self._agenda = Agenda()
        self._waiting: dict[str, list[str]] = {}
        """Lane → checks that are due and wait until it is free."""
        self._seen_at: datetime | None = None
        self._running: dict[str, asyncio.Task[list[Result]]] = {}
        self._open = AsyncExitStack()
        self._connections: Connections | None = None
        self._baselines = _Baselines()

    async def tick(self, now: datetime) -> datetime:
        if self._connections is None:
            await self._begin(now)
            now = self.watch.setting.clock.now()  # that took its time: what was due then is not due again at once
        if self._seen_at is not None and now < self._seen_at:
            self._plan(now)
        self._seen_at = now
        self._start(now)
        if self._running:
            await self._settle()
        after = self.watch.setting.clock.now()
        return after if self._running else self.next_due(after)

    async def close(self) -> None:
        """Give up what is being asked."""
        tasks: list[asyncio.Task[Any]] = [*self._running.values(), *(task for _, task in self._asked_now.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._running.clear()
        self._asked_now.clear()
        await self._open.aclose()
        self._connections = None

    def next_due(self, now: datetime) -> datetime:
        """When the next check is due."""
        return soonest([self._agenda.next()], now + timedelta(minutes=1))

    def interval(self, check: Check) -> timedelta:
        """How often a check runs now. What tells whether a component is there keeps its rhythm."""
        own = check.interval or self.watch.system.model.intervals.check
        return own if check.id in self._vital else own * self.slow.get(check.of, 1)

    async def _begin(self, now: datetime) -> None:
        self._connections = await self._open.enter_async_context(self.watch.setting.connections(self.watch.system))
        since = (now - REMEMBERED).timestamp()

        def read() -> Mapping[str, history.Point]:
            with reading(self.watch.setting.store) as connection:
                return history.latest(connection, self.watch.system.model.system, self.watch.system.name, since)

        for id, point in (await asyncio.to_thread(read)).items():
            if id in self.checks:
                at = datetime.fromtimestamp(point.at, UTC)
                check = self.checks[id]
                spec = observations()[check.observe].spec
                self.latest[id] = Result(check, spec, State(point.state), point.value, point.sentence, at)

        self._plan(now)

    def _plan(self, now: datetime) -> None:
        """When each check is due, from when it ran last."""
        for id, check in self.checks.items():
            last = self.latest[id].at if id in self.latest else None
            due = rhythm.is_due(last, now, self.interval(check), self._shifts[id])
            self._agenda.put(id, now if due else self._next_of(id, now))

    def _next_of(self, id: str, now: datetime) -> datetime:
        return rhythm.next_slot(now, self.interval(self.checks[id]), self._shifts[id])

    def _start(self, now: datetime) -> None:
        """Ask what is due; what belongs to a lane that is still being asked waits for that."""
        for id in self._agenda.take(now):
            self._waiting.setdefault(self._lanes[self.checks[id].of], []).append(id)
        free = (lane for lane in self._waiting if lane not in self._running)
        for lane in list(islice(free, max(MOST_AT_ONCE - len(self._running), 0))):
            ids = self._waiting.pop(lane)
            for id in ids:
                self._agenda.put(id, self._next_of(id, now))
            self._running[lane] = asyncio.create_task(self._ask(lane, [self.checks[id] for id in ids]))

    async def _ask(self, lane: str, checks: Sequence[Check]) -> list[Result]:
        assert self._connections is not None
        for name in self._members[lane]:
            self._connections.of(name).forget()
        known = await self._known_baselines(checks)
        clock = self.watch.setting.clock
        done = await sweep(self.watch.system, checks, self._connections, clock, known)
        results = list(done.results)
        # A cause that is found first is told instead of what follows from it.
        suspects = [asyncio.shield(self._now(check)) for check in self._suspects(results)]
        return [*results, *await asyncio.gather(*suspects)]

    def _now(self, check: Check) -> asyncio.Task[Result]:
        """Ask a check at once; many that turn bad together ask it once."""
        now = self.watch.setting.clock.now()
        asked_at, task = self._asked_now.get(check.id, (now, None))
        if task is None or not timedelta(0) <= now - asked_at < STILL_NEW:
            task = asyncio.create_task(self._ask_alone(check))
            self._asked_now[check.id] = now, task
        return task

    async def _ask_alone(self, check: Check) -> Result:
        """Over connections of its own: those of its lane may be in use."""
        async with self.watch.setting.connections(self.watch.system) as fresh:
            found = await sweep(self.watch.system, [check], fresh, self.watch.setting.clock)
        return found.results[0]

    def _suspects(self, results: Iterable[Result]) -> list[Check]:
        """The checks that could explain what has just turned bad, and were not asked since."""
        asked = {result.check.id for result in results}
        wanted: dict[str, Check] = {}
        for result in results:
            before = self.latest.get(result.check.id)
            if result.state is State.OK or (before is not None and before.state is not State.OK):
                continue
            around = {result.check.of, *result.check.depends_on, *self.watch.system.upstream(result.check.of)}
            for check in (one for name in around for one in self._vitals_of.get(name, ())):
                last = self.latest.get(check.id)
                if check.id not in asked and (last is None or last.at < result.at):
                    wanted[check.id] = check
        return list(wanted.values())

    async def _settle(self) -> None:
        """Store and decide by what was answered meanwhile."""
        await asyncio.wait(self._running.values(), timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if len(self._running) > 1:
            await asyncio.wait(self._running.values(), timeout=GATHER)
        done = [self._running.pop(lane) for lane in [lane for lane, task in self._running.items() if task.done()]]
        results, failed = list[Result](), list[BaseException]()
        for task in done:
            try:
                results += task.result()
            except (Exception, asyncio.CancelledError) as error:  # raised below: what others answered is kept first
                failed.append(error)
        if results:
            await self._keep(results)
        if failed:
            raise failed[0]

    async def _keep(self, results: Sequence[Result]) -> None:
        # What several asked for at once comes once with each of them.
        newest = {
            one.check.id: one for one in results if (last := self.latest.get(one.check.id)) is None or last.at != one.at
        }
        together = fold(list((self.latest | newest).values()), self.watch.system.upstream)
        folded = {one.check.id: one for one in together}
        system = self.watch.system

        def store(connection: Connection) -> None:
            history.add(connection, system.model.system, system.name, map(point_of, newest.values()))

        try:
            await tell(self.watch, [signal_of(folded[id]) for id in newest], [store])
        except BaseException:
            # Not stored: they are asked again as soon as that can be.
            for id in newest:
                self._agenda.put(id, self.watch.setting.clock.now())
            raise
        self.latest = folded
        self._adapt(newest.values())

    def _adapt(self, results: Iterable[Result]) -> None:
        """Ask a component less often whose reads time out, and as before when its reads come back in time."""
        late: dict[str, bool] = {}
        for one in results:
            late[one.check.of] = late.get(one.check.of, False) or one.failure is Failure.TIMEOUT
        for component, is_late in late.items():
            if is_late:
                self.slow[component] = min(SLOWEST, self.slow.get(component, 1) * 2)
            elif self.slow.pop(component, None):
                for id in self._of[component]:
                    self._agenda.put(id, self._next_of(id, self.watch.setting.clock.now()))

    async def _known_baselines(self, checks: Sequence[Check]) -> dict[str, float]:
        if not any(_span(check) for check in checks):
            return {}
        kept, now = self._baselines, self.watch.setting.clock.now()
        if kept.at is None or not timedelta(0) <= now - kept.at < BASELINE_LASTS:
            spans = [(check.id, span) for check in self.checks.values() if (span := _span(check))]
            system = self.watch.system
            kept.at, kept.known = now, await asyncio.to_thread(
                history.baselines, self.watch.setting.store, system.model.system, system.name, spans, now.timestamp()
            )  # fmt: skip
        return kept.known

    def told_slow(self) -> Iterator[str]:
        """A sentence for each component that is asked less often."""
        for component, times in sorted(self.slow.items()):
            yield f"{component} does not answer in time: it is asked {times} times less often"


def _span(check: Check) -> float:
    """The past in seconds that the baseline of a check is taken from; 0 where it has none."""
    return max((one.baseline or 0.0 for one in (check.warning, check.critical) if one is not None), default=0.0)


def point_of(result: Result) -> history.Point:
    """A result as it is stored."""
    value = float(result.value) if isinstance(result.value, bool | int | float) else None
    return history.Point(result.check.id, result.at.timestamp(), result.state, value, result.sentence)


def signal_of(result: Result) -> Signal:
    """What a result says to the desk of alerts."""
    check = result.check
    return Signal(
        fingerprint=fingerprint(check.id),
        source="check",
        at=result.at,
        state=result.state,
        title=check.title or f"{check.of}: {result.spec.name}",
        sentence=result.sentence,
        shown=result.shown,
        check=check.id,
        component=check.of,
        cause=fingerprint(result.cause) if result.cause else "",
        hold=check.for_,
        severity=check.severity or "",
        procedure=check.procedure or "",
        notify=tuple(check.notify),
    )


def fingerprint(check: str) -> str:
    """The name of a check's alert."""
    return f"check:{check}"
