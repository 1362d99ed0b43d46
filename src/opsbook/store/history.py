"""What checks said over time."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, insert, select

from opsbook.store.database import writing
from opsbook.store.tables import check_results


@dataclass(frozen=True)
class Point:
    """One stored result. `at` is UTC seconds since 1970; `value` in the observation's canonical unit."""

    check_id: str
    at: float
    state: str
    value: float | None
    sentence: str


def record(engine: Engine, environment: str, points: Iterable[Point]) -> None:
    """Store results in one transaction. Raises StoreFailed."""
    rows = [{"environment": environment, **vars(point)} for point in points]
    if rows:
        with writing(engine) as connection:
            connection.execute(insert(check_results), rows)


def history(engine: Engine, environment: str, check_id: str, since: float = 0.0, limit: int = 10_000) -> list[Point]:
    """The newest results of a check, oldest first."""
    table = check_results.c
    wanted = (table.environment == environment) & (table.check_id == check_id) & (table.at >= since)
    columns = (table.check_id, table.at, table.state, table.value, table.sentence)
    query = select(*columns).where(wanted).order_by(table.at.desc()).limit(limit)
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    return [Point(*row) for row in reversed(rows)]


def baselines(engine: Engine, environment: str, spans: Sequence[tuple[str, float]], now: float) -> dict[str, float]:
    """The median value of each check over its span in seconds; checks without a stored value are left out."""
    table = check_results.c
    medians: dict[str, float] = {}
    with engine.connect() as connection:
        for check_id, span in spans:
            wanted = (table.environment == environment) & (table.check_id == check_id) & (table.at >= now - span)
            values = connection.execute(select(table.value).where(wanted & table.value.is_not(None))).scalars().all()
            if values:
                medians[check_id] = statistics.median(values)
    return medians
