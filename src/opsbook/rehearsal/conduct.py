"""Rehearsing a book: each procedure is planned, run, looked at and taken back, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from opsbook.book.words import nearest
from opsbook.checks.evaluate import Result
from opsbook.checks.sweep import sweep
from opsbook.engine.access import Actor, local_actor
from opsbook.engine.compile import compile_all
from opsbook.engine.identity import new_run_id
from opsbook.engine.mistakes import Mistakes
from opsbook.engine.procedure import Procedure
from opsbook.engine.service import Service
from opsbook.engine.setting import book_revision
from opsbook.engine.views import view_of
from opsbook.errors import OpsbookError, Refused, UsageError
from opsbook.rehearsal.alerts import Alerts, alerts_of
from opsbook.rehearsal.model import Outcome, Rehearsal, Silent, Verdict
from opsbook.rehearsal.one import One
from opsbook.rehearsal.recovery import recovery_of
from opsbook.rehearsal.seeing import SETTLE_SECONDS, firings, patience, silent, worse
from opsbook.rehearsal.stage import Stage, executing
from opsbook.store import history, rehearsals
from opsbook.store.rehearsals import Firing, ResultRow
from opsbook.store.runs import REHEARSAL

ANSWERS = "rehearsal"
"""Who approves and ticks in a rehearsal. A book that gives roles must give this name one, or nothing is approved."""

SETTLE_PAUSE = 2.0


@dataclass
class Conductor:
    """One rehearsal of a book in a disposable environment."""

    service: Service
    tell: Callable[[str], None]
    """A sentence to the person who looks on."""
    keep_going: bool = False
    interrupted: asyncio.Event = field(default_factory=asyncio.Event)
    at_first: dict[str, Result] = field(default_factory=dict)
    """Every check before the first procedure."""
    _fired: dict[str, Firing] = field(default_factory=dict)

    def __post_init__(self) -> None:
        system = self.service.system
        if refusal := refused(system.name, system.environment.disposable, list(disposable(self.service))):
            raise refusal
        self.started = self.service.setting.clock.now()
        self.id = REHEARSAL + new_run_id(self.started)
        who = local_actor()
        asks = Actor(who.name, f"{who.origin}, {self.id}")
        answers = Actor(ANSWERS, f"{self.id}, which {who.name} began on {who.origin}")
        self.service = Service(self.service.setting, system, asks)
        self.stage = Stage(self.service.setting, system, answers, self.interrupted)

    async def rehearse(self, chosen: Sequence[str] = (), recovery: bool = False) -> Rehearsal:
        """Rehearse the chosen procedures in their order, or all of the book; then those of recovery, where asked for.

        Of the procedures that come with opsbook only what is named is rehearsed. Raises UsageError for a name that
        there is not.
        """
        system, store, clock = self.service.system, self.service.setting.store, self.service.setting.clock
        packaged = self.service.setting.packaged(system)
        more = recovery_of(system, packaged) if recovery else []
        offered = {name: text for name, text in packaged.items() if name in {*chosen, *more}}
        found, wrong = compile_all(system, system.book.catalogue, offered)
        for name in chosen:
            if name not in found and name not in wrong:
                raise UsageError(f"there is no procedure named {name!r}", nearest(name, [*found, *wrong, *packaged]))
        names = list(dict.fromkeys([*(chosen or sorted({*found, *wrong} - {*offered})), *more]))
        began = clock.monotonic()
        revision, at = book_revision(system), self.started
        rehearsals.begin(store, self.id, system.name, revision, self.service.actor.name, at.timestamp())
        async with executing(self.service.setting, self.tell) as own:
            # Where another process executes, what is not at its end may be a rehearsal that goes on there.
            if own:
                await self._clear_away()
            self.at_first = await self.look([check.id for check in system.checks])
            outcomes = await self._all(names, found, wrong)
            await self.look([check.id for check in system.checks])
        alerts = await self._alerts(clock.monotonic() - began)
        now = clock.now().timestamp()
        rehearsals.fire(store, system.name, self.id, [*self._fired.values(), *alerts.fired])
        rehearsals.end(store, self.id, now)
        number, first = rehearsals.count(store, system.name)
        return Rehearsal(
            self.id, system.model.system, system.model.title or system.model.system, system.name, revision, at,
            clock.monotonic() - began, tuple(outcomes), len(system.checks), len(alerts.rules),
            tuple(self._silent(alerts)), number, datetime.fromtimestamp(first or now, UTC), tuple(alerts.notes),
        )  # fmt: skip

    async def look(self, checks: Sequence[str]) -> dict[str, Result]:
        """These checks now, by their ids. What fires is remembered."""
        system, setting = self.service.system, self.service.setting
        # A failover, or a rotation, has written other addresses and passwords.
        system.forget_variables()
        chosen = [check for check in system.checks if check.id in checks]
        spans = [
            (check.id, max(limits))
            for check in chosen
            if (limits := [one.baseline for one in (check.warning, check.critical) if one and one.baseline is not None])
        ]
        usual = history.baselines(setting.store, system.model.system, system.name, spans, setting.now())
        # Connections of their own each time: a procedure may have restarted what they lead to.
        async with setting.connections(system) as connections:
            done = await sweep(system, chosen, connections, setting.clock, usual)
        self.remember(firings(done.results))
        return {one.check.id: one for one in done.results}

    async def settled(
        self, checks: Sequence[str], before: Mapping[str, Result], most: float = SETTLE_SECONDS
    ) -> dict[str, Result]:
        """The checks once none is worse than before, or when they had time enough (`patience`)."""
        clock = self.service.setting.clock
        began = clock.monotonic()
        found = await self.look(checks)
        while bad := worse(before, found):
            if clock.monotonic() - began >= patience(bad, most) or self.interrupted.is_set():
                break
            await asyncio.sleep(SETTLE_PAUSE)
            found |= await self.look([one.check.id for one in bad])
        return found

    def remember(self, fired: Sequence[Firing]) -> None:
        """Note what fired, however it was seen."""
        self._fired.update({one.name: one for one in fired})

    async def _all(
        self, names: Sequence[str], found: Mapping[str, Procedure], wrong: Mapping[str, list[Mistakes]]
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        stopped = ""
        for number, name in enumerate(names, 1):
            if self.interrupted.is_set():
                stopped = "the rehearsal was interrupted"
            if stopped:
                title = found[name].title if name in found else name
                outcomes.append(Outcome(name, title, "", Verdict.LEFT_OUT, message=stopped))
                continue
            self.tell(f"{number} of {len(names)}: {name}")
            outcome = await self._one(found[name]) if name in found else uncompiled(name, wrong[name])
            self._note(outcome)
            self.tell(f"{name} {outcome.sentence} ({outcome.seconds:.1f} s)")
            outcomes.append(outcome)
            if outcome.verdict is Verdict.FAILS and not self.keep_going:
                stopped = f"{name} failed; --keep-going goes on"
        return outcomes

    async def _one(self, procedure: Procedure) -> Outcome:
        self.stage.notes.clear()
        began = self.service.setting.clock.monotonic()
        outcome = await One(self, procedure).rehearse()
        seconds = self.service.setting.clock.monotonic() - began
        return replace(outcome, seconds=seconds, notes=(*outcome.notes, *self.stage.notes))

    def begun(self, procedure: Procedure, run: str) -> None:
        """A run of a procedure was asked for: where this process dies, the next rehearsal takes it back."""
        self._note(Outcome(procedure.name, "", "", Verdict.LEFT_OUT, run=run, revision=procedure.revision), "")

    def _note(self, outcome: Outcome, verdict: str | None = None) -> None:
        setting, name = self.service.setting, self.service.system.name
        told = outcome.verdict.value if verdict is None else verdict
        row = ResultRow(
            self.id, outcome.procedure, name, outcome.run, outcome.revision, told, outcome.step, outcome.message,
            outcome.seconds, setting.now(),
        )  # fmt: skip
        rehearsals.note(setting.store, row)

    async def _clear_away(self) -> None:
        """Take back what earlier rehearsals that were cut off left in the middle."""
        setting = self.service.setting
        for row in rehearsals.cut_off(setting.store, self.service.system.name):
            if row.run and not view_of(setting.store, row.run).state.ended:
                self.tell(f"takes back run {row.run} of {row.procedure}, whose rehearsal was cut off")
                await self.stage.take_back(row.run, "its rehearsal was cut off")
            verdict = Verdict.LEFT_OUT.value
            rehearsals.note(setting.store, replace(row, verdict=verdict, message="its rehearsal was cut off"))

    async def _alerts(self, seconds: float) -> Alerts:
        async with self.service.setting.connections(self.service.system) as connections:
            return await alerts_of(self.service.system, connections, seconds)

    def _silent(self, alerts: Alerts) -> list[Silent]:
        fired = rehearsals.fired(self.service.setting.store, self.service.system.name)
        return silent(self.service.system, alerts.rules, fired)


def disposable(service: Service) -> list[str]:
    """The environments of the book that may be broken and thrown away."""
    return [name for name, one in service.system.model.environments.items() if one.disposable]


def refused(environment: str, is_disposable: bool, others: Sequence[str]) -> OpsbookError | None:
    """Why nothing is rehearsed in this environment; None where it may be."""
    if is_disposable:
        return None
    hint = f"name one that is: --env {others[0]}" if others else "mark a copy of the system with `disposable: true`"
    return Refused(f"{environment} is not disposable: a rehearsal changes and breaks the system that it runs on", hint)


def uncompiled(name: str, wrong: Sequence[Mistakes]) -> Outcome:
    """A procedure that is no procedure."""
    mistakes = sorted({(one.line, one.message) for file in wrong for one in file.found})
    line, message = mistakes[0]
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return Outcome(name, name, "", Verdict.FAILS, step=f"before it began, in line {line}", message=message + more)
