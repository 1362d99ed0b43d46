"""What the store keeps of the watch no longer than the book says: dropped some rows at a time, the oldest first.

Each function drops at most about `most` rows of its subject and returns how many those were, so that who calls it can
go on until fewer come back. What still goes on, or holds somebody to something, is never dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, exists, func, or_, select

from opsbook.store.due import KNOWN
from opsbook.store.due import OPEN as DUE_OPEN
from opsbook.store.history import IDS_A_STATEMENT, batched
from opsbook.store.incidents import OVER
from opsbook.store.tables import check_results
from opsbook.store.watch_tables import (
    actions,
    alerts,
    beats,
    checklists,
    due,
    evidence,
    incident_events,
    incidents,
    messages,
    occurrences,
    rollups,
    silences,
)
from opsbook.store.windows import OPEN as OCCURRENCE_OPEN

A_DAY = 86_400.0
BEATS_KEPT = 50
"""Beats of a job that are kept however old they are: a late one is judged by what it said last."""

Where = Mapping[str, str]


def drop_incidents(connection: Connection, where: Where, before: float, most: int) -> list[str]:
    """Drop incidents that were over before a moment, with all that is theirs; which.

    One stays while it goes on, while an action of it is open, an alert of it fires, or what it was merged into goes on.
    """
    firing = exists().where(alerts.c.incident == incidents.c.id, alerts.c.open_key.is_not(None))
    query = select(incidents.c.id).where(_over(where, before), ~firing).order_by(incidents.c.opened_at).limit(most)
    ids = list(connection.execute(query).scalars())
    for some in batched(ids, IDS_A_STATEMENT):
        for table in (incident_events, evidence, actions, messages, alerts):
            connection.execute(delete(table).where(table.c.incident.in_(some)))
        subjects = [f"incident:{one}" for one in some]
        done = checklists.c.subject.in_(subjects) & checklists.c.done_at.is_not(None)
        connection.execute(delete(checklists).where(done))
        connection.execute(delete(incidents).where(incidents.c.id.in_(some)))
    return ids


def drop_evidence(connection: Connection, where: Where, before: float, most: int) -> list[str]:
    """Drop what was gathered for incidents that were over before a moment; of which incidents."""
    has = exists().where(evidence.c.incident == incidents.c.id)
    query = select(incidents.c.id).where(_over(where, before), has).order_by(incidents.c.opened_at).limit(most)
    ids = list(connection.execute(query).scalars())
    for some in batched(ids, IDS_A_STATEMENT):
        connection.execute(delete(evidence).where(evidence.c.incident.in_(some)))
    return ids


def drop_messages(connection: Connection, where: Where, before: float, most: int) -> int:
    """What was told or given up, but for that of incidents which go on: it says whom they have paged."""
    going = select(incidents.c.id).where(incidents.c.state.not_in(OVER))
    old = messages.c.state.in_(("delivered", "failed", "dropped")) & (messages.c.made_at < before)
    return _drop(connection, messages, _here(messages, where) & old & messages.c.incident.not_in(going), most)


def drop_alerts(connection: Connection, where: Where, before: float, most: int) -> int:
    """What was resolved, but for the alerts of incidents: they go with those."""
    return _drop(
        connection, alerts, _here(alerts, where) & (alerts.c.resolved_at < before) & (alerts.c.incident == ""), most
    )


def drop_silences(connection: Connection, where: Where, before: float, most: int) -> int:
    """Silences that would be over by themselves: one that the book writes would begin anew if its end had not come."""
    return _drop(connection, silences, _here(silences, where) & (silences.c.until < before), most)


def drop_checklists(connection: Connection, where: Where, before: float, most: int) -> int:
    """Checklists that are done, but for those of incidents: they go with those, and are not opened a second time."""
    old = (checklists.c.done_at < before) & checklists.c.subject.not_like("incident:%")
    return _drop(connection, checklists, _here(checklists, where) & old, most)


def drop_due(connection: Connection, where: Where, before: float) -> int:
    """What schedules asked for and came to its end. When a schedule was first seen stays."""
    old = (due.c.at < before) & due.c.state.not_in((*DUE_OPEN, KNOWN))
    return connection.execute(delete(due).where(_here(due, where), old)).rowcount


def drop_windows(connection: Connection, where: Where, before: float) -> int:
    """Windows that are closed, and those that were only noticed. One whose work goes on stays, however long."""
    over = (occurrences.c.until < before) & occurrences.c.state.not_in(OCCURRENCE_OPEN)
    late = func.coalesce(occurrences.c.closed_at, occurrences.c.until) < before
    return connection.execute(delete(occurrences).where(_here(occurrences, where), over, late)).rowcount


def drop_beats(connection: Connection, where: Where, before: float) -> int:
    """What jobs said of themselves, but for the last of each."""
    newest = select(beats.c.job, func.max(beats.c.number)).where(_here(beats, where)).group_by(beats.c.job)
    gone = 0
    for job, number in connection.execute(newest).all():
        old = (beats.c.job == job) & (beats.c.number <= number - BEATS_KEPT) & (beats.c.at < before)
        gone += connection.execute(delete(beats).where(_here(beats, where), old)).rowcount
    return gone


def drop_results(connection: Connection, where: Where, before: float, most: int) -> int:
    """Single results of checks."""
    # In the order of their numbers, which is that of time: an index by check would be walked as a whole each time.
    # What was stored before results named their system has none.
    table = check_results.c
    here = table.system.in_((where["system"], "")) & (table.environment == where["environment"])
    oldest = select(table.id).where(here).order_by(table.id).limit(most).subquery()
    last = connection.execute(select(func.max(oldest.c.id))).scalar()
    if last is None:
        return 0
    return connection.execute(delete(check_results).where(here, table.id <= last, table.at < before)).rowcount


def drop_rollups(connection: Connection, where: Where, before: float) -> bool:
    """Figures of checks, a day of them at a time. False where nothing is left to drop."""
    here = _here(rollups, where)
    first = connection.execute(select(func.min(rollups.c.start)).where(here)).scalar()
    if first is None or first >= before:
        return False
    connection.execute(delete(rollups).where(here, rollups.c.start < min(before, first + A_DAY)))
    return True


def _over(where: Where, before: float) -> ColumnElement[bool]:
    """Incidents that were over before a moment, and to which nothing is left to do."""
    other = incidents.alias()
    to_do = exists().where(actions.c.incident == incidents.c.id, actions.c.done_at.is_(None))
    going = exists().where(other.c.id == incidents.c.merged_into, other.c.state.not_in(OVER))
    over = incidents.c.state.in_(OVER) & (func.coalesce(incidents.c.resolved_at, incidents.c.opened_at) < before)
    return _here(incidents, where) & over & ~to_do & or_(incidents.c.merged_into == "", ~going)


def _drop(connection: Connection, table: Table, wanted: ColumnElement[bool], most: int) -> int:
    ids: Sequence[Any] = connection.execute(select(table.c.id).where(wanted).limit(most)).scalars().all()
    for some in batched(ids, IDS_A_STATEMENT):
        connection.execute(delete(table).where(table.c.id.in_(some)))
    return len(ids)


def _here(table: Table, where: Where) -> ColumnElement[bool]:
    return (table.c.system == where["system"]) & (table.c.environment == where["environment"])
