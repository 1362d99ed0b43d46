"""What a report is made of: one look at the store, the same for every form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from opsbook.book.system import System
from opsbook.engine.access import ROLES
from opsbook.engine.setting import Setting
from opsbook.engine.states import RunState
from opsbook.store import (
    actions,
    alerts,
    audit,
    checklists,
    drills,
    history,
    incident_spans,
    run_lists,
    silences,
    tokens,
    windows,
)
from opsbook.store.actions import Action
from opsbook.store.audit_head import verify_store
from opsbook.store.checklists import Opened
from opsbook.store.database import reading
from opsbook.store.drills import DrillRow
from opsbook.store.incidents import Incident
from opsbook.store.runs import RunRow
from opsbook.store.silences import Silence
from opsbook.store.tokens import TokenRow
from opsbook.store.totals import totals
from opsbook.store.windows import Came
from opsbook.watch.capacity import Growing, outlooks
from opsbook.watch.clocks import Clock, clocks
from opsbook.watch.reports.spans import Kind, Span
from opsbook.watch.silences import here
from opsbook.watch.slos import Level, Share, availability, level, share
from opsbook.watch.status import Status, status


@dataclass(frozen=True)
class Kept:
    """A promise about service over the time of the report, and over its own."""

    level: Level
    share: Share
    """In the time of the report."""


@dataclass(frozen=True)
class Checked:
    """A check over the time of the report."""

    id: str
    title: str
    component: str
    share: Share
    alerts: int
    """How often it fired."""


@dataclass(frozen=True)
class Certificate:
    """How long a certificate lasts, as it was last seen."""

    title: str
    component: str
    seconds_left: float | None
    sentence: str
    at: datetime


@dataclass(frozen=True)
class Change:
    """A run that ended in the time of the report."""

    run: RunRow
    approvers: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """All that a report may tell. Times of rows are UTC seconds since 1970."""

    kind: Kind
    system: System
    span: Span
    now: Status
    kept: tuple[Kept, ...]
    checked: tuple[Checked, ...]
    incidents: tuple[tuple[Incident, tuple[Clock, ...]], ...]
    alerts: int
    changes: tuple[Change, ...]
    revisions: tuple[tuple[float, str], ...]
    """When a run first used another state of the book, and its revision."""
    windows: tuple[Came, ...]
    silences: tuple[Silence, ...]
    drills: tuple[DrillRow, ...]
    certificates: tuple[Certificate, ...]
    growing: tuple[Growing, ...]
    actions: tuple[Action, ...]
    checklists: tuple[Opened, ...]
    roles: tuple[tuple[str, tuple[str, ...]], ...]
    tokens: tuple[TokenRow, ...]
    acts: tuple[tuple[str, str, int], ...]
    """Who did what how often, by the audit chain; only where the report is about that."""
    chain: str = ""
    """Whether the audit chain is what was written, in a sentence; only where the report is about that."""


def gather(setting: Setting, system: System, kind: Kind, span: Span) -> Facts:
    """Look. Blocking. Raises StoreFailed."""
    now, (begin, end) = status(setting, system), span.seconds
    where, book = here(system), system.model
    name = (book.system, system.name)
    growing = outlooks(setting, system, span.end)
    measured = [row for row in drills.measured(setting.store, system.name) if begin <= row.at < end]
    acts, chain = _audited(setting, begin, end) if kind == "audit" else ((), "")
    with reading(setting.store) as connection:
        mine = incident_spans.during(connection, where, begin, end)
        fired = alerts.fired_by_check(connection, where, begin, end)
        ran = [run for run in run_lists.between(connection, *name, begin, end) if _ended(run, begin, end)]
        yes = run_lists.approvers(connection, [run.id for run in ran])
        return Facts(
            kind, system, span, now,
            tuple(_kept(connection, system, span)),
            tuple(_checked(connection, system, span, fired)),
            tuple((one, tuple(clocks(book, one, span.end))) for one in mine),
            sum(fired.values()),
            tuple(Change(run, yes.get(run.id, ())) for run in ran),
            tuple(_revisions(connection, name, begin, end)),
            tuple(row for row in windows.came(connection, where, since=begin) if (row.opened_at or end) < end),
            tuple(one for one in silences.since(connection, where, begin) if one.start < end),
            tuple(measured),
            tuple(_certificates(connection, system)),
            tuple(growing),
            tuple(actions.of_system(connection, where, open_only=True)),
            tuple(checklists.since(connection, where, begin)),
            tuple((role, tuple(getattr(book.access, role))) for role in ROLES),
            tuple(one for one in tokens.listed(connection) if one.dead(end) is None),
            acts, chain,
        )  # fmt: skip


def _ended(run: RunRow, begin: float, end: float) -> bool:
    return run.ended_at is not None and begin <= run.ended_at < end and not run.rehearsal


def _kept(connection: Connection, system: System, span: Span) -> Iterator[Kept]:
    known = {check.id for check in system.checks}
    for slo in system.model.slos:
        if slo.check in known:
            found = availability(connection, here(system), slo.check, span.begin, span.end)
            yield Kept(level(connection, here(system), slo, span.end), found)


def _checked(connection: Connection, system: System, span: Span, times: dict[str, int]) -> Iterator[Checked]:
    counts = totals(connection, here(system), *span.seconds)
    for check in system.checks:
        found = share(counts.get(check.id, {}))
        yield Checked(check.id, check.title or check.id, check.of, found, times.get(check.id, 0))


def _revisions(connection: Connection, name: tuple[str, str], begin: float, end: float) -> Iterator[tuple[float, str]]:
    last = run_lists.book_before(connection, *name, begin)
    for run in run_lists.between(connection, *name, begin, end):
        if run.requested_at >= begin and run.book_revision != last:
            if last:
                yield run.requested_at, run.book_revision
            last = run.book_revision


def _certificates(connection: Connection, system: System) -> Iterator[Certificate]:
    points = history.latest(connection, system.model.system, system.name, 0.0)
    for check in system.checks:
        point = points.get(check.id)
        if check.observe == "tls.days_left" and point is not None:
            at = datetime.fromtimestamp(point.at, UTC)
            yield Certificate(check.title or check.id, check.of, point.value, point.sentence, at)


def _audited(setting: Setting, begin: float, end: float) -> tuple[tuple[tuple[str, str, int], ...], str]:
    counts: dict[tuple[str, str], int] = {}
    for record in audit.records(setting.store):
        if begin <= record.act.at < end:
            key = (record.act.actor, record.act.event)
            counts[key] = counts.get(key, 0) + 1
    found = verify_store(setting.store, setting.head)
    told = f"{found.records:,} records, each as it was written"
    if found.broken:
        told = f"broken at record {found.broken.seq}: {found.broken.reason}"
    return tuple((*key, count) for key, count in sorted(counts.items())), told


def failed(facts: Facts) -> int:
    """How many runs ended badly."""
    return sum(1 for one in facts.changes if one.run.state != RunState.DONE)
