"""Reading and writing runs, their steps and changes, and what people did for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, insert, or_, select, update

from opsbook.store.database import reading
from opsbook.store.tables import acts, approvals, changes, output, runs, steps

REHEARSAL = "rehearsal-"
"""With which the id of a rehearsal begins; it stands at the end of the origin of its runs."""


@dataclass(frozen=True)
class RunRow:
    """A run as it is stored; JSON as text, times in UTC seconds."""

    id: str
    system: str
    environment: str
    book: str
    book_revision: str
    procedure: str
    title: str
    risk: str
    compiled: str
    parameters: str
    plan: str
    digest: str
    likeness: str
    state: str
    message: str
    requester: str
    origin: str
    confirmed: str
    break_glass: str
    rerun_of: str
    from_step: str
    verdict: str
    cancel: str
    woken: int
    heard: int
    crashes: int
    executor: str
    requested_at: float
    started_at: float | None
    ended_at: float | None
    asked_as: str = ""

    @property
    def rehearsal(self) -> str:
        """The rehearsal that asked for it, by its id; empty where a person or a schedule did."""
        last = self.origin.rpartition(", ")[2]
        return last if last.startswith(REHEARSAL) else ""


@dataclass(frozen=True)
class StepRow:
    """A step that has begun."""

    run: str
    step: str
    position: int
    state: str
    message: str
    planned: str
    result: str
    started_at: float | None
    ended_at: float | None


@dataclass(frozen=True)
class ChangeRow:
    """One change: its intent, and its outcome where there is one."""

    key: str
    run: str
    step: str
    index: int
    undo: bool
    attempt: int
    state: str
    change: str
    cursor: str
    result: str
    message: str
    started_at: float
    ended_at: float | None


@dataclass(frozen=True)
class ApprovalRow:
    """Somebody's yes to one digest."""

    id: int
    run: str
    step: str
    digest: str
    approver: str
    origin: str
    at: float
    void: str


@dataclass(frozen=True)
class ActRow:
    """An act that a person says to have done."""

    id: int
    run: str
    step: str
    item: int
    actor: str
    origin: str
    note: str
    at: float


def add(connection: Connection, **values: Any) -> None:
    """Store a new run."""
    connection.execute(insert(runs).values(values))


def change_run(connection: Connection, run: str, *, only_in: Iterable[str] | None = None, **values: Any) -> bool:
    """Change a run; with `only_in` only where it is in one of these states. False where nothing was changed."""
    statement = update(runs).where(runs.c.id == run)
    if only_in is not None:
        statement = statement.where(runs.c.state.in_([str(state) for state in only_in]))
    return connection.execute(statement.values(values)).rowcount > 0


def wake(connection: Connection, run: str) -> None:
    """Tell whoever executes the run to look at it again."""
    connection.execute(update(runs).where(runs.c.id == run).values(woken=runs.c.woken + 1))


def run_of(connection: Connection, run: str) -> RunRow | None:
    """The run of this id."""
    row = connection.execute(select(runs).where(runs.c.id == run)).first()
    return RunRow(**row._mapping) if row else None


def runs_named(engine: Engine, text: str) -> list[RunRow]:
    """The runs whose id is this text, or begins or ends with it."""
    with reading(engine) as connection:
        if exact := run_of(connection, text):
            return [exact]
        escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        alike = or_(runs.c.id.like(f"{escaped}%", escape="\\"), runs.c.id.like(f"%{escaped}", escape="\\"))
        rows = connection.execute(select(runs).where(alike).order_by(runs.c.requested_at).limit(20)).all()
    return [RunRow(**row._mapping) for row in rows]


def newest(
    engine: Engine, *, procedure: str = "", environment: str = "", states: Sequence[str] = (), limit: int = 20
) -> list[RunRow]:
    """The newest runs, newest first; those of one procedure or environment where it is named."""
    wanted = select(runs).order_by(runs.c.requested_at.desc()).limit(limit)
    if procedure:
        wanted = wanted.where(runs.c.procedure == procedure)
    if environment:
        wanted = wanted.where(runs.c.environment == environment)
    if states:
        wanted = wanted.where(runs.c.state.in_([str(state) for state in states]))
    with reading(engine) as connection:
        return [RunRow(**row._mapping) for row in connection.execute(wanted)]


def alike(connection: Connection, likeness: str, ended: Iterable[str]) -> RunRow | None:
    """The newest run that asks for the same and has not ended."""
    wanted = (runs.c.likeness == likeness) & runs.c.state.not_in([str(state) for state in ended])
    row = connection.execute(select(runs).where(wanted).order_by(runs.c.requested_at.desc()).limit(1)).first()
    return RunRow(**row._mapping) if row else None


def unfinished(engine: Engine, ended: Iterable[str]) -> list[Row[Any]]:
    """Id, system, state, woken, heard, cancel and executor of every run that has not ended, oldest first."""
    columns = (runs.c.id, runs.c.system, runs.c.state, runs.c.woken, runs.c.heard, runs.c.cancel, runs.c.executor)
    query = select(*columns).where(runs.c.state.not_in([str(state) for state in ended])).order_by(runs.c.requested_at)
    with reading(engine) as connection:
        return list(connection.execute(query))


def steps_of(connection: Connection, run: str) -> list[StepRow]:
    """The steps that have begun, in order."""
    rows = connection.execute(select(steps).where(steps.c.run == run).order_by(steps.c.position))
    return [StepRow(**row._mapping) for row in rows]


def changes_of(connection: Connection, run: str) -> list[ChangeRow]:
    """The changes in the order in which they were begun."""
    query = select(changes).where(changes.c.run == run).order_by(changes.c.started_at, changes.c.index)
    return [ChangeRow(**row._mapping) for row in connection.execute(query)]


def approvals_of(connection: Connection, run: str) -> list[ApprovalRow]:
    """Every approval of a run, void ones too."""
    rows = connection.execute(select(approvals).where(approvals.c.run == run).order_by(approvals.c.at))
    return [ApprovalRow(**row._mapping) for row in rows]


def acts_of(connection: Connection, run: str) -> list[ActRow]:
    """What people said to have done."""
    rows = connection.execute(select(acts).where(acts.c.run == run).order_by(acts.c.at))
    return [ActRow(**row._mapping) for row in rows]


def last_output(engine: Engine, run: str) -> int:
    """The id of the newest piece of output."""
    with reading(engine) as connection:
        return int(connection.execute(select(func.max(output.c.id)).where(output.c.run == run)).scalar() or 0)


def output_of(engine: Engine, run: str, *, step: str = "", after: int = 0, limit: int = 10_000) -> list[Row[Any]]:
    """Pieces of output with an id above `after`: id, step, start, at, text."""
    columns = (output.c.id, output.c.step, output.c.start, output.c.at, output.c.text)
    wanted = (output.c.run == run) & (output.c.id > after)
    if step:
        wanted &= output.c.step == step
    with reading(engine) as connection:
        return list(connection.execute(select(*columns).where(wanted).order_by(output.c.id).limit(limit)))
