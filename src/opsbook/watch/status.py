"""What somebody needs at 3 a.m.: what fires since when and who has it, what changed, what runs, who is on call.

It reads the store alone, so that it answers when nothing else does; where nobody watches it says so, and tells what was
stored last.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection

from opsbook.book.rotations import stretches
from opsbook.book.system import System
from opsbook.checks.evaluate import State
from opsbook.engine.executor import executed_by
from opsbook.engine.setting import Setting
from opsbook.engine.states import ENDED, RunState
from opsbook.engine.views import summary
from opsbook.errors import OpsbookError
from opsbook.recovery.objectives import Judged, Measured, judged
from opsbook.store import alerts, checklists, drills, history, leases, run_lists, silences
from opsbook.store.checklists import Opened
from opsbook.store.database import reading
from opsbook.store.incidents import Incident
from opsbook.store.runs import RunRow
from opsbook.store.silences import Silence
from opsbook.watch.alert_rows import from_row
from opsbook.watch.checking import SLOWEST
from opsbook.watch.clocks import Clock
from opsbook.watch.contract import Alert, Phase
from opsbook.watch.incident_views import listed
from opsbook.watch.incident_views import summary as incident_json
from opsbook.watch.silences import as_json as silence_json
from opsbook.watch.silences import here
from opsbook.watch.window_calendar import Coming, coming

if TYPE_CHECKING:
    from opsbook.connectors.backups.recoverable import Source

T = TypeVar("T")

LATELY = timedelta(hours=12)
"""What changed longer ago is rarely the cause of what fires now."""
STALE_AFTER = 5.0
"""A newest result that is older than this many times the usual interval is no news of now."""
LOOK_BACK = timedelta(days=2)
STRETCHED = 1.5
"""A result that says nothing and is older than this many intervals is of a component that is asked less often."""
PATIENCE = 3.0
"""Seconds that looking into the stores of backups may take: this screen must not hang when a bucket does."""
WORST = {State.CRITICAL: 0, State.UNKNOWN: 1, State.WARNING: 2, State.OK: 3}


@dataclass(frozen=True)
class Watched:
    """Whether somebody watches, and how old what is known is."""

    by: str
    """Who executes runs and, as far as can be seen, watches; empty where nobody does."""
    newest: datetime | None
    stale: bool

    @property
    def lives(self) -> bool:
        return bool(self.by) and not self.stale


@dataclass(frozen=True)
class Bad:
    """Something that is bad: an alert, or where nobody watches the last result of a check."""

    title: str
    check: str
    component: str
    state: State
    since: datetime
    sentence: str
    shown: str = ""
    cause: str = ""
    """The title of what explains it."""
    severity: str = ""
    who: str = ""
    """Who has acknowledged its incident."""
    incident: str = ""
    procedure: str = ""
    silence: str = ""
    flapping: bool = False
    watched: bool = True

    checklist: str = ""
    """The list that is late, where that is what is bad."""
    source: str = "check"
    """Who says so: check, alertmanager, job, opsbook …"""

    @property
    def suggestion(self) -> str:
        """The command that helps most now; empty where none is known."""
        if self.procedure:
            return f"opsbook run {self.procedure}"
        if self.checklist:
            return f"opsbook checklist show {self.checklist}"
        if self.incident:
            return f"opsbook incident show {self.incident}"
        return f"opsbook check --only {self.check}" if self.check else ""


@dataclass(frozen=True)
class OnCall:
    """Who answers for a rotation now, and until when."""

    rotation: str
    who: str
    until: datetime


@dataclass(frozen=True)
class LastBackup:
    """The last run that took a backup of the book's."""

    backup: str
    component: str
    at: datetime | None
    run: str = ""
    failed_since: str = ""
    """A run after it that did not come to a good end."""


@dataclass(frozen=True)
class Status:
    """All of it, at one moment."""

    system: System
    at: datetime
    watched: Watched
    bad: tuple[Bad, ...]
    incidents: tuple[tuple[Incident, tuple[Clock, ...]], ...]
    silences: tuple[Silence, ...]
    windows: tuple[Coming, ...]
    """What is open, and the next of each."""
    going: tuple[RunRow, ...]
    ended: tuple[RunRow, ...]
    """Lately, newest first."""
    on_call: tuple[OnCall, ...]
    backups: tuple[LastBackup, ...]
    promises: tuple[Judged, ...]
    checklists: tuple[Opened, ...]
    unseen: tuple[str, ...] = ()
    """Checks of which there is no result that is news of now, where somebody watches."""
    slow: tuple[str, ...] = ()
    """Components whose reads do not come in time, so that they are asked less often."""

    @property
    def failed(self) -> tuple[RunRow, ...]:
        """Runs that ended badly, and not in a rehearsal."""
        return tuple(run for run in self.ended if run.state != RunState.DONE and not run.rehearsal)

    def interrupted(self, run: RunRow) -> bool:
        """Whether its process is gone in the middle of it, and nobody goes on with it."""
        return not self.watched.by and run.state in (RunState.RUNNING, RunState.UNDOING)

    @property
    def exit_code(self) -> int:
        """0 nothing needs anybody, 1 something does, 5 something is ambiguous."""
        if any(run.state == RunState.AMBIGUOUS for run in self.going):
            return 5
        loud = any(not one.silence and one.state.bad for one in self.bad)
        parked = any(RunState(run.state).parked or self.interrupted(run) for run in self.going)
        unanswered = any(one.acknowledged_at is None for one, _ in self.incidents)
        return int(loud or parked or unanswered or bool(self.failed))


def status(setting: Setting, system: System) -> Status:
    """Look. Blocking. Raises StoreFailed."""
    now = setting.clock.now()
    where, moment = here(system), now.timestamp()
    with reading(setting.store) as connection:
        watched = _watched(connection, setting, system, now)
        unseen, slow = _not_measured(connection, system, now) if watched.lives else ((), ())
        found = tuple(listed(connection, system, now, open_only=True, limit=None))
        recent = run_lists.between(connection, *place(system), moment - LATELY.total_seconds(), moment + 1)
        ended = [run for run in recent if run.ended_at is not None]
        return Status(
            system,
            now,
            watched,
            tuple(_bad(connection, system, watched, {one.id: one for one, _ in found}, now)),
            found,
            tuple(silences.holding(connection, where, moment)),
            tuple(_windows(coming(connection, system, now))),
            tuple(run_lists.going(connection, *place(system), ENDED)),
            tuple(sorted(ended, key=lambda run: run.ended_at or 0, reverse=True)),
            tuple(_on_call(system, now)),
            tuple(_backups(connection, system)),
            tuple(_promises(setting, system, now)),
            tuple(checklists.not_done(connection, where)),
            unseen,
            slow,
        )


def as_json(found: Status) -> dict[str, Any]:
    """For `--format json` and the API. Times are ISO 8601, those of runs and incidents seconds since 1970."""
    now = found.at.timestamp()
    return {
        "system": found.system.model.system,
        "environment": found.system.name,
        "at": found.at.isoformat(),
        "watched": {
            "by": found.watched.by or None, "lives": found.watched.lives, "stale": found.watched.stale,
            "newest_result": found.watched.newest.isoformat() if found.watched.newest else None,
        },
        "not_measured": list(found.unseen),
        "slow": list(found.slow),
        "bad": [{**vars(one), "since": one.since.isoformat(), "suggestion": one.suggestion} for one in found.bad],
        "incidents": [incident_json(one, clocks) for one, clocks in found.incidents],
        "silences": [silence_json(one, now) for one in found.silences],
        "windows": [one.as_json() for one in found.windows],
        "executor": found.watched.by or None,
        "going": [{**summary(run), "interrupted": found.interrupted(run)} for run in found.going],
        "ended": [summary(run) for run in found.ended],
        "on_call": [{**vars(one), "until": one.until.isoformat()} for one in found.on_call],
        "backups": [{**vars(one), "at": one.at.isoformat() if one.at else None} for one in found.backups],
        "promises": [
            {
                "objective": one.name, "standing": str(one.standing),
                "last_drill": one.last.at.isoformat() if one.last else None,
            }
            for one in found.promises
        ],
        "checklists": [
            {"id": one.id, "title": one.title, "ticked": one.ticked, "items": len(one.items), "late": one.late(now)}
            for one in found.checklists
        ],
    }  # fmt: skip


def place(system: System) -> tuple[str, str]:
    """System and environment, as queries of runs and results take them."""
    return system.model.system, system.name


def _watched(connection: Connection, setting: Setting, system: System, now: datetime) -> Watched:
    by = executed_by(setting) if setting.embedded else ""
    if lease := leases.held(connection, "watch/{system}/{environment}".format(**here(system)), now.timestamp()):
        by = lease.holder
    at = history.newest_at(connection, system.model.system, system.name)
    newest = datetime.fromtimestamp(at, UTC) if at is not None else None
    every = system.model.intervals.check * STALE_AFTER
    return Watched(by, newest, newest is None or now - newest > every)


def _not_measured(connection: Connection, system: System, now: datetime) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Checks without a fresh result; of them, the components that are only asked less often because they are slow."""
    usual = system.model.intervals.check
    known = history.newest_of(connection, *place(system), [check.id for check in system.checks])
    unseen, slow = [], dict[str, None]()
    for check in system.checks:
        point, every = known.get(check.id), (check.interval or usual).total_seconds()
        age = now.timestamp() - point.at if point else float("inf")
        if point and point.state == State.UNKNOWN and STRETCHED * every < age <= STALE_AFTER * SLOWEST * every:
            slow[check.of] = None
        elif age > STALE_AFTER * every:
            unseen.append(check.id)
    return tuple(unseen), tuple(slow)


def _bad(
    connection: Connection, system: System, watched: Watched, known: dict[str, Incident], now: datetime
) -> list[Bad]:
    where = here(system)
    found = [from_row(row) for row in alerts.open_ones(connection, where)]
    titles = {one.fingerprint: one.title for one in found}
    told = [_of_alert(one, titles, known) for one in found if one.phase is Phase.FIRING or one.cause]
    if not watched.lives:
        quiet = silences.covering_many(connection, where, now.timestamp())
        told = [replace(one, silence=quiet.of(one.check, one.component)) for one in told]
        fresh = history.latest(connection, *place(system), (now - LOOK_BACK).timestamp())
        named, have = {check.id: check for check in system.checks}, {one.check for one in told}
        for check_id, point in fresh.items():
            if point.state != State.OK and check_id in named and check_id not in have:
                check = named[check_id]
                at = datetime.fromtimestamp(point.at, UTC)
                told.append(Bad(
                    check.title or check.id, check.id, check.of, State(point.state), at, point.sentence,
                    procedure=check.procedure or "", watched=False,
                ))  # fmt: skip
    return sorted(told, key=lambda one: (bool(one.silence), bool(one.cause), WORST[one.state], one.since))


def _of_alert(one: Alert, titles: dict[str, str], known: dict[str, Incident]) -> Bad:
    incident = known.get(one.incident)
    kind, _, name = one.fingerprint.partition(":")
    checklist = name if kind == "checklist" else ""
    return Bad(
        one.title, one.check, one.component, one.state, one.since, one.sentence, one.shown,
        titles.get(one.cause, one.cause), one.severity, incident.acknowledged_by if incident else "", one.incident,
        one.procedure, one.silenced_by, one.flapping, checklist=checklist, source=one.source,
    )  # fmt: skip


def _windows(found: Sequence[Coming]) -> list[Coming]:
    kept, seen = [], set()
    for one in found:
        if one.state in ("open", "overrun") or one.window not in seen:
            kept.append(one)
        if one.state not in ("open", "overrun"):
            seen.add(one.window)
    return kept


def _on_call(system: System, now: datetime) -> list[OnCall]:
    found = []
    for rotation, one in system.model.oncall.items():
        ahead = stretches(system.model, rotation, now, now + one.turn + timedelta(days=1))
        found.append(OnCall(rotation, ahead[0].duty.who, ahead[0].end))
    return found


def _backups(connection: Connection, system: System) -> list[LastBackup]:
    if not system.model.backups:
        return []
    from opsbook.recovery.backups import taken  # knows all that can be backed up, as does `drills` all that recovers

    found = []
    for backup in taken(system):
        mine = run_lists.newest_of(connection, *place(system), f"backup-{backup.id}", list(ENDED))
        good = next((run for run in mine if run.state == RunState.DONE), None)
        bad = mine[0].id if mine and mine[0] is not good and mine[0].state != RunState.DONE else ""
        at = datetime.fromtimestamp(good.ended_at, UTC) if good and good.ended_at is not None else None
        found.append(LastBackup(backup.id, backup.of, at, good.id if good else "", bad))
    return found


def _promises(setting: Setting, system: System, now: datetime) -> list[Judged]:
    if not system.model.objectives:
        return []
    from opsbook.recovery.drills import sources

    rows = drills.measured(setting.store, system.name)
    found = []
    for name, objective in system.model.objectives.items():
        measured = [
            Measured(
                datetime.fromtimestamp(row.at, UTC), row.good, row.rto_seconds, row.rpo_seconds, row.lost_rows,
                (), row.run, row.backup or ("standby" if row.kind == "failover" else ""),
            )
            for row in rows
            if row.objective == name
        ]  # fmt: skip
        known: list[Source] | None = _within(PATIENCE, lambda name=name: list(sources(system, name, now)))  # type: ignore[misc]
        found.append(judged(name, objective, measured, known or [], now))
    return found


def _within(seconds: float, call: Callable[[], T]) -> T | None:
    """What a call says within this time; None where it takes longer or cannot be done."""
    told: list[T] = []

    def work() -> None:
        try:
            told.append(call())
        except OpsbookError:
            return

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(seconds)
    return told[0] if told else None
