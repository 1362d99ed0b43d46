"""What drills measured: of each objective a row a run, and the run is the evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, insert, select

from opsbook.store.database import reading, writing
from opsbook.store.runs import RunRow
from opsbook.store.tables import drills, runs


@dataclass(frozen=True)
class DrillRow:
    """One measurement. Times are UTC seconds; figures are None where the drill did not come so far."""

    run: str
    objective: str
    at: float
    environment: str
    drill: str
    kind: str
    backup: str
    stamp: str
    phases: str
    problems: str
    restored_seconds: float | None
    verified_seconds: float | None
    rto_seconds: float | None
    rpo_seconds: float | None
    lost_rows: int | None
    bytes: int | None
    good: bool


def unnoted(engine: Engine, procedures: Sequence[str], ended: Iterable[str]) -> list[RunRow]:
    """Ended runs of these procedures of which no row is here, oldest first."""
    query = (
        select(runs)
        .where(runs.c.procedure.in_(procedures), runs.c.state.in_([str(state) for state in ended]))
        .where(runs.c.id.not_in(select(drills.c.run)))
        .order_by(runs.c.requested_at)
    )
    with reading(engine) as connection:
        return [RunRow(**row._mapping) for row in connection.execute(query)]


def note(engine: Engine, rows: Iterable[DrillRow]) -> None:
    """Store measurements; those that another process has stored meanwhile stay. Raises StoreFailed."""
    with writing(engine) as connection:
        for row in rows:
            same = (drills.c.run == row.run) & (drills.c.objective == row.objective)
            if connection.execute(select(drills.c.run).where(same)).first() is None:
                connection.execute(insert(drills).values(vars(row)))


def measured(engine: Engine, environment: str, objective: str = "") -> list[DrillRow]:
    """The measurements of an environment, oldest first; of one objective, or of all."""
    query = select(drills).where(drills.c.environment == environment).order_by(drills.c.at)
    if objective:
        query = query.where(drills.c.objective == objective)
    with reading(engine) as connection:
        return [DrillRow(**row._mapping) for row in connection.execute(query)]


def of_run(engine: Engine, run: str) -> list[DrillRow]:
    """What a run measured."""
    with reading(engine) as connection:
        return [DrillRow(**row._mapping) for row in connection.execute(select(drills).where(drills.c.run == run))]
