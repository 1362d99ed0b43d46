"""What became of procedures in rehearsals, and which checks and alert rules ever fired in one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Engine, delete, func, insert, select, update

from opsbook.store.database import reading, writing
from opsbook.store.tables import rehearsal_firings, rehearsal_results, rehearsals, runs


@dataclass(frozen=True)
class ResultRow:
    """What became of one procedure. `verdict` is empty while its rehearsal goes on; times are UTC seconds."""

    rehearsal: str
    procedure: str
    environment: str
    run: str
    revision: str
    verdict: str
    step: str
    message: str
    seconds: float
    at: float


@dataclass(frozen=True)
class Firing:
    """A check or alert rule that fired. `kind` is `check` or `alert`."""

    kind: str
    name: str
    state: str
    at: float


def begin(engine: Engine, rehearsal: str, environment: str, book_revision: str, requester: str, at: float) -> None:
    """A rehearsal begins. Raises StoreFailed, as all here."""
    row = {"id": rehearsal, "environment": environment, "book_revision": book_revision, "requester": requester}
    with writing(engine) as connection:
        connection.execute(insert(rehearsals).values({**row, "started_at": at}))


def end(engine: Engine, rehearsal: str, at: float) -> None:
    """It is over."""
    with writing(engine) as connection:
        connection.execute(update(rehearsals).where(rehearsals.c.id == rehearsal).values(ended_at=at))


def note(engine: Engine, row: ResultRow) -> None:
    """Store a result over the one that is there of the same procedure and rehearsal."""
    table = rehearsal_results.c
    same = (table.rehearsal == row.rehearsal) & (table.procedure == row.procedure)
    with writing(engine) as connection:
        connection.execute(delete(rehearsal_results).where(same))
        connection.execute(insert(rehearsal_results).values(vars(row)))


def cut_off(engine: Engine, environment: str) -> list[ResultRow]:
    """Procedures whose rehearsal never came to its end."""
    table = rehearsal_results.c
    with reading(engine) as connection:
        wanted = (table.environment == environment) & (table.verdict == "")
        return [ResultRow(**row._mapping) for row in connection.execute(select(rehearsal_results).where(wanted))]


def last_results(engine: Engine) -> dict[str, ResultRow]:
    """The newest result of each procedure, in whatever environment. One that was left out says nothing of it."""
    told = rehearsal_results.c.verdict.not_in(("", "left out"))
    query = select(rehearsal_results).where(told).order_by(rehearsal_results.c.at)
    with reading(engine) as connection:
        return {row.procedure: ResultRow(**row._mapping) for row in connection.execute(query)}


def last_real_runs(engine: Engine) -> list[tuple[str, float, str, str, str]]:
    """Procedure, time, state, environment and message of the newest run of each that no rehearsal made."""
    rehearsed = select(rehearsal_results.c.run)
    newest = (
        select(runs.c.procedure, func.max(runs.c.requested_at).label("at"))
        .where(runs.c.id.not_in(rehearsed))
        .group_by(runs.c.procedure)
        .subquery()
    )
    query = (
        select(runs.c.procedure, runs.c.requested_at, runs.c.state, runs.c.environment, runs.c.message)
        .join(newest, (newest.c.procedure == runs.c.procedure) & (newest.c.at == runs.c.requested_at))
        .where(runs.c.id.not_in(rehearsed))
        .order_by(runs.c.id)
    )
    with reading(engine) as connection:
        return [(str(a), float(b), str(c), str(d), str(e)) for a, b, c, d, e in connection.execute(query)]


def fire(engine: Engine, environment: str, rehearsal: str, firings: Iterable[Firing]) -> None:
    """Remember what fired; of each the last time."""
    table = rehearsal_firings.c
    with writing(engine) as connection:
        for one in firings:
            same = (table.environment == environment) & (table.kind == one.kind) & (table.name == one.name)
            connection.execute(delete(rehearsal_firings).where(same))
            row = {"environment": environment, "rehearsal": rehearsal, **vars(one)}
            connection.execute(insert(rehearsal_firings).values(row))


def fired(engine: Engine, environment: str) -> list[Firing]:
    """Everything that fired in any rehearsal of this environment."""
    table = rehearsal_firings.c
    query = select(table.kind, table.name, table.state, table.at).where(table.environment == environment)
    with reading(engine) as connection:
        return [Firing(**row._mapping) for row in connection.execute(query)]


def count(engine: Engine, environment: str) -> tuple[int, float | None]:
    """How many rehearsals of this environment began, and when the first did."""
    query = select(func.count(), func.min(rehearsals.c.started_at)).where(rehearsals.c.environment == environment)
    with reading(engine) as connection:
        number, first = connection.execute(query).one()
    return int(number), first
