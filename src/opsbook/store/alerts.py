"""Reading and writing alerts: many at a time, because a storm brings thousands in one go.

A row is a mapping of the columns of `alerts`. Who decides what becomes of it is the watch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, insert, select, update

from opsbook.store.history import batched
from opsbook.store.watch_tables import alerts

ROWS_A_STATEMENT = 500
"""SQLite takes only so many parameters."""

KEPT_OUT = ("id", "system", "environment", "fingerprint", "incident")
"""What saving an alert again leaves alone: what never changes, and what belongs to the incident's part."""

Row = Mapping[str, Any]


def open_key(where: Mapping[str, str], fingerprint: str) -> str:
    """What an open alert of this thing is unique by."""
    return f"{where['system']}/{where['environment']}/{fingerprint}"


def open_ones(
    connection: Connection, where: Mapping[str, str], fingerprints: Collection[str] | None = None
) -> list[Row]:
    """The alerts that are pending or firing; of these things alone, where they are named."""
    if fingerprints is None:
        return _read(connection, _here(where) & alerts.c.open_key.is_not(None))
    keys = sorted(open_key(where, one) for one in fingerprints)
    return _in_parts(connection, alerts.c.open_key, keys)


def lately_resolved(
    connection: Connection, where: Mapping[str, str], fingerprints: Collection[str], since: float
) -> list[Row]:
    """The alerts of these things that were resolved since a moment, oldest first."""
    wanted = _here(where) & (alerts.c.resolved_at >= since)
    names = set(fingerprints)
    if len(names) > ROWS_A_STATEMENT:
        found = _read(connection, wanted)
    else:
        found = _read(connection, wanted & alerts.c.fingerprint.in_(sorted(names)))
    return sorted((row for row in found if row["fingerprint"] in names), key=lambda row: row["resolved_at"])


def of_incident(connection: Connection, incident: str) -> list[Row]:
    """The alerts that an incident has, oldest first."""
    return _read(connection, alerts.c.incident == incident)


def open_page(
    connection: Connection,
    where: Mapping[str, str],
    *,
    phase: str = "",
    component: str = "",
    after: tuple[float, str] | None = None,
    limit: int,
) -> list[Row]:
    """Some of the alerts that are pending or firing, oldest first; `after` is since when the last one of the page
    before was, and its id.
    """
    wanted = _here(where) & alerts.c.open_key.is_not(None)
    if phase:
        wanted &= alerts.c.phase == phase
    if component:
        wanted &= alerts.c.component == component
    if after is not None:
        wanted &= (alerts.c.since > after[0]) | ((alerts.c.since == after[0]) & (alerts.c.id > after[1]))
    query = select(alerts).where(wanted).order_by(alerts.c.since, alerts.c.id).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]


def between(
    connection: Connection,
    where: Mapping[str, str],
    start: float,
    end: float,
    limit: int = 10_000,
    before: tuple[float, str] | None = None,
) -> list[Row]:
    """The alerts that were firing at some moment of a time, the newest first; `before` is since when the last one of
    the page before was, and its id.
    """
    fired = alerts.c.fired_at.is_not(None) & (alerts.c.fired_at < end)
    going = alerts.c.resolved_at.is_(None) | (alerts.c.resolved_at >= start)
    wanted = _here(where) & fired & going
    if before is not None:
        wanted &= (alerts.c.since < before[0]) | ((alerts.c.since == before[0]) & (alerts.c.id < before[1]))
    query = select(alerts).where(wanted).order_by(alerts.c.since.desc(), alerts.c.id.desc()).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]


def fired_by_check(connection: Connection, where: Mapping[str, str], start: float, end: float) -> dict[str, int]:
    """Check → how many alerts of it began to fire in a time; those of no check under an empty name."""
    fired = _here(where) & (alerts.c.fired_at >= start) & (alerts.c.fired_at < end)
    query = select(alerts.c.check_id, func.count()).where(fired).group_by(alerts.c.check_id)
    return {str(check): int(count) for check, count in connection.execute(query)}


def count_by_phase(connection: Connection, where: Mapping[str, str]) -> dict[str, int]:
    """How many are pending and how many are firing."""
    going = _here(where) & alerts.c.open_key.is_not(None)
    query = select(alerts.c.phase, func.count()).where(going).group_by(alerts.c.phase)
    return {str(phase): int(count) for phase, count in connection.execute(query)}


def save(connection: Connection, new: Sequence[Row], changed: Sequence[Row]) -> None:
    """Store alerts that there were none of, and those that changed."""
    if new:
        connection.execute(insert(alerts), [dict(row) for row in new])
    if not changed:
        return
    columns = [name for name in changed[0] if name not in KEPT_OUT]
    statement = (
        update(alerts)
        .where(alerts.c.id == bindparam("the_id"))
        .values({name: bindparam(f"the_{name}") for name in columns})
    )
    rows = [{"the_id": row["id"], **{f"the_{name}": row[name] for name in columns}} for row in changed]
    connection.execute(statement, rows)


def discard(connection: Connection, ids: Iterable[str]) -> None:
    """Forget alerts that never fired: what was bad for less than its time is no alert."""
    for some in batched(sorted(ids), ROWS_A_STATEMENT):
        connection.execute(delete(alerts).where(alerts.c.id.in_(some)))


def _here(where: Mapping[str, str]) -> ColumnElement[bool]:
    return (alerts.c.system == where["system"]) & (alerts.c.environment == where["environment"])


def _in_parts(connection: Connection, column: Any, values: Sequence[str]) -> list[Row]:
    found: list[Row] = []
    for some in batched(values, ROWS_A_STATEMENT):
        found += _read(connection, column.in_(some))
    return found


def _read(connection: Connection, wanted: ColumnElement[bool]) -> list[Row]:
    rows = connection.execute(select(alerts).where(wanted).order_by(alerts.c.since)).mappings()
    return [dict(row) for row in rows]
