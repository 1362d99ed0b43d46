"""What checks said over time."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, insert, select, text

from opsbook.store.database import reading, writing
from opsbook.store.tables import check_results

IDS_A_STATEMENT = 500
"""SQLite takes only so many parameters."""


NEWEST_OF = {
    dialect: text(f"""
    SELECT r.check_id, r.at, r.state, r.value, r.sentence FROM {wanted}
    JOIN check_results AS r ON r.id = (
        SELECT id FROM check_results
        WHERE system = :system AND environment = :environment AND check_id = wanted.value ORDER BY at DESC LIMIT 1)
    """)  # noqa: S608 (both are written here)
    for dialect, wanted in (
        ("sqlite", "json_each(:ids) AS wanted"),
        ("postgresql", "jsonb_array_elements_text(CAST(:ids AS jsonb)) AS wanted(value)"),
    )
}


@dataclass(frozen=True)
class Point:
    """One stored result. `at` is UTC seconds since 1970; `value` in the observation's canonical unit."""

    check_id: str
    at: float
    state: str
    value: float | None
    sentence: str


def record(engine: Engine, system: str, environment: str, points: Iterable[Point], keep: float) -> None:
    """Store results and drop those of the same checks that are older than `keep` seconds. Raises StoreFailed."""
    rows = [{"system": system, "environment": environment, **vars(point)} for point in points]
    if not rows:
        return
    table = check_results.c
    old = table.at < max(row["at"] for row in rows) - keep
    with writing(engine) as connection:
        connection.execute(insert(check_results), rows)
        for some in batched(sorted({row["check_id"] for row in rows}), IDS_A_STATEMENT):
            mine = _here(system, environment) & table.check_id.in_(some)
            connection.execute(delete(check_results).where(mine & old))


def add(connection: Connection, system: str, environment: str, points: Iterable[Point]) -> None:
    """Store results and drop none: whoever calls this keeps house by itself."""
    rows = [{"system": system, "environment": environment, **vars(point)} for point in points]
    if rows:
        connection.execute(insert(check_results), rows)


def latest(connection: Connection, system: str, environment: str, since: float) -> dict[str, Point]:
    """The newest result of each check that has one since then, by check id."""
    table = check_results.c
    wanted = _here(system, environment) & (table.at >= since)
    newest = select(table.check_id, func.max(table.at).label("at")).where(wanted).group_by(table.check_id).subquery()
    columns = (table.check_id, table.at, table.state, table.value, table.sentence)
    query = select(*columns).join(newest, (table.check_id == newest.c.check_id) & (table.at == newest.c.at))
    return {row.check_id: Point(*row) for row in connection.execute(query.where(wanted))}


def _here(system: str, environment: str) -> ColumnElement[bool]:
    # What was stored before results named their system has none.
    return check_results.c.system.in_((system, "")) & (check_results.c.environment == environment)


def batched(values: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The values in parts of at most this size."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def history(
    engine: Engine, system: str, environment: str, check_id: str, since: float = 0.0, limit: int = 10_000
) -> list[Point]:
    """The newest results of a check, oldest first. Raises StoreFailed."""
    table = check_results.c
    wanted = _here(system, environment) & (table.check_id == check_id) & (table.at >= since)
    columns = (table.check_id, table.at, table.state, table.value, table.sentence)
    query = select(*columns).where(wanted).order_by(table.at.desc()).limit(limit)
    with reading(engine) as connection:
        rows = connection.execute(query).all()
    return [Point(*row) for row in reversed(rows)]


def baselines(
    engine: Engine, system: str, environment: str, spans: Sequence[tuple[str, float]], now: float
) -> dict[str, float]:
    """The median value of each check over its span in seconds; checks without a stored value are left out.

    Raises StoreFailed.
    """
    table = check_results.c
    medians: dict[str, float] = {}
    with reading(engine) as connection:
        for check_id, span in spans:
            wanted = _here(system, environment) & (table.check_id == check_id) & (table.at >= now - span)
            values = connection.execute(select(table.value).where(wanted & table.value.is_not(None))).scalars().all()
            if values:
                medians[check_id] = statistics.median(values)
    return medians


def page(
    engine: Engine, system: str, environment: str, check_id: str, since: float, before: float | None, limit: int
) -> list[Point]:
    """Results of a check since a moment and before another, newest first. Raises StoreFailed."""
    table = check_results.c
    wanted = _here(system, environment) & (table.check_id == check_id) & (table.at >= since)
    if before is not None:
        wanted &= table.at < before
    columns = (table.check_id, table.at, table.state, table.value, table.sentence)
    with reading(engine) as connection:
        rows = connection.execute(select(*columns).where(wanted).order_by(table.at.desc()).limit(limit)).all()
    return [Point(*row) for row in rows]


def last_id(connection: Connection, system: str, environment: str) -> int:
    """The id of the newest result."""
    query = select(func.max(check_results.c.id)).where(_here(system, environment))
    return int(connection.execute(query).scalar() or 0)


def after(connection: Connection, system: str, environment: str, id: int, limit: int) -> list[tuple[int, Point]]:
    """The results that were stored after the one of this id, in that order, each with its own."""
    table = check_results.c
    columns = (table.id, table.check_id, table.at, table.state, table.value, table.sentence)
    query = select(*columns).where(_here(system, environment) & (table.id > id)).order_by(table.id).limit(limit)
    return [(row[0], Point(*row[1:])) for row in connection.execute(query)]


def newest_at(connection: Connection, system: str, environment: str) -> float | None:
    """When the newest result of all checks was measured, UTC seconds since 1970; None where there is none."""
    return connection.execute(select(func.max(check_results.c.at)).where(_here(system, environment))).scalar()


def newest_of(connection: Connection, system: str, environment: str, check_ids: Sequence[str]) -> dict[str, Point]:
    """The newest result of each of these checks that has one: a look at the index for each, however many are stored."""
    statement = NEWEST_OF[connection.dialect.name]
    given = {"system": system, "environment": environment, "ids": json.dumps(list(check_ids))}
    return {row.check_id: Point(*row) for row in connection.execute(statement, given)}
