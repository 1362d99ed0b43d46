"""Five-minute and hourly figures of what checks said, made from the single results.

Making a figure again gives the same one, so that catching up after a time without a watch is the same as going on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Float, Integer, case, cast, delete, func, insert, literal, select

from opsbook.store.tables import check_results
from opsbook.store.watch_tables import rollups

FIVE_MINUTES = 300
HOUR = 3600
SPANS = (FIVE_MINUTES, HOUR)
STATES = ("ok", "warning", "critical", "unknown")


@dataclass(frozen=True)
class Rollup:
    """What a check said over `span` seconds from `start`: how often what, and its values where it had any."""

    check_id: str
    span: int
    start: float
    ok: int
    warning: int
    critical: int
    unknown: int
    least: float | None
    most: float | None
    total: float
    counted: int

    @property
    def mean(self) -> float | None:
        """The mean of its values."""
        return self.total / self.counted if self.counted else None


def rolled_until(connection: Connection, where: Mapping[str, str], span: int) -> float | None:
    """The end of the newest figure of a span; None where there is none."""
    newest = connection.execute(select(func.max(rollups.c.start)).where(_here(where), rollups.c.span == span)).scalar()
    return None if newest is None else float(newest) + span


def oldest_result(connection: Connection, where: Mapping[str, str]) -> float | None:
    """The moment of the oldest single result that is kept."""
    return connection.execute(select(func.min(check_results.c.at)).where(_results(where))).scalar()


def roll_up(connection: Connection, where: Mapping[str, str], start: float, end: float) -> None:
    """Make the five-minute figures of a time from single results, instead of those that there are."""
    table = check_results.c
    begin = _start_of(connection, table.at, FIVE_MINUTES)
    counts = [func.sum(case((table.state == state, 1), else_=0)).label(state) for state in STATES]
    values = [
        func.min(table.value).label("least"),
        func.max(table.value).label("most"),
        func.coalesce(func.sum(table.value), 0.0).label("total"),
        func.count(table.value).label("counted"),
    ]
    wanted = _results(where) & (table.at >= start) & (table.at < end)
    query = select(
        *_named(where), table.check_id, literal(FIVE_MINUTES).label("span"), begin.label("start"), *counts, *values
    ).where(wanted)
    _replace(connection, where, FIVE_MINUTES, start, end, query.group_by(table.check_id, begin))


def roll_up_hours(connection: Connection, where: Mapping[str, str], start: float, end: float) -> None:
    """Make the hourly figures of a time from those of five minutes."""
    table = rollups.c
    begin = _start_of(connection, table.start, HOUR)
    sums = [func.sum(getattr(table, state)).label(state) for state in STATES]
    values = [
        func.min(table.least).label("least"),
        func.max(table.most).label("most"),
        func.sum(table.total).label("total"),
        func.sum(table.counted).label("counted"),
    ]
    wanted = _here(where) & (table.span == FIVE_MINUTES) & (table.start >= start) & (table.start < end)
    query = select(
        *_named(where), table.check_id, literal(HOUR).label("span"), begin.label("start"), *sums, *values
    ).where(wanted)
    _replace(connection, where, HOUR, start, end, query.group_by(table.check_id, begin))


def figures(
    connection: Connection, where: Mapping[str, str], check: str, span: int, start: float, end: float
) -> list[Rollup]:
    """The figures of a check in a time, oldest first."""
    columns = [rollups.c[name] for name in Rollup.__dataclass_fields__]
    wanted = (rollups.c.check_id == check) & (rollups.c.span == span)
    within = (rollups.c.start >= start) & (rollups.c.start < end)
    query = select(*columns).where(_here(where) & wanted & within).order_by(rollups.c.start)
    return [Rollup(*row) for row in connection.execute(query)]


def counted(connection: Connection, where: Mapping[str, str], check: str, start: float, end: float) -> dict[str, int]:
    """How many single results of a time were in each state."""
    table = check_results.c
    wanted = _results(where) & (table.check_id == check) & (table.at >= start) & (table.at < end)
    query = select(table.state, func.count()).where(wanted).group_by(table.state)
    return {str(state): int(count) for state, count in connection.execute(query)}


def _replace(
    connection: Connection, where: Mapping[str, str], span: int, start: float, end: float, query: object
) -> None:
    within = (rollups.c.span == span) & (rollups.c.start >= start) & (rollups.c.start < end)
    connection.execute(delete(rollups).where(_here(where) & within))
    names = ["system", "environment", "check_id", "span", "start", *STATES, "least", "most", "total", "counted"]
    connection.execute(insert(rollups).from_select(names, query))  # type: ignore[arg-type]


def _start_of(connection: Connection, column: ColumnElement[float], span: int) -> ColumnElement[float]:
    """The beginning of the span that a moment lies in. A cast cuts off on SQLite, and rounds on PostgreSQL."""
    if connection.dialect.name == "sqlite":
        return cast(cast(column / span, Integer), Float) * float(span)
    return cast(func.floor(column / span), Float) * float(span)


def _named(where: Mapping[str, str]) -> list[ColumnElement[str]]:
    return [literal(where["system"]).label("system"), literal(where["environment"]).label("environment")]


def _here(where: Mapping[str, str]) -> ColumnElement[bool]:
    return (rollups.c.system == where["system"]) & (rollups.c.environment == where["environment"])


def _results(where: Mapping[str, str]) -> ColumnElement[bool]:
    # What was stored before results named their system has none.
    table = check_results.c
    return table.system.in_((where["system"], "")) & (table.environment == where["environment"])
