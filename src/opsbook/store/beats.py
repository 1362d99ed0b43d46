"""What jobs outside opsbook said of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, text, update

from opsbook.store.watch_tables import beats

KEPT = 500
"""Beats of a job that are kept."""
NUMBERS_LOCK = 0x6F70736274
"""PostgreSQL's advisory lock around taking a number; SQLite has one writer anyway."""
LOGS_KEPT = 50
"""Beats of a job whose logs are kept: a job that says much, often, must not fill the store."""


@dataclass(frozen=True)
class Beat:
    """One word of a job: `kind` is start, success, failure or log; `seconds` since its start, where that is known."""

    job: str
    number: int
    at: float
    kind: str
    origin: str
    log: str
    exit_code: int | None = None
    seconds: float | None = None


def add(connection: Connection, where: Mapping[str, str], beat: Beat) -> Beat:
    """Store one under the next number of its job, and drop those that are too many.

    Several processes may serve one PostgreSQL: they take their numbers one after the other.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": NUMBERS_LOCK})
    last = select(func.max(beats.c.number)).where(_of(where, beat.job))
    number = int(connection.execute(last).scalar() or 0) + 1
    row = {**vars(beat), "number": number}
    connection.execute(insert(beats).values({**where, **row}))
    connection.execute(delete(beats).where(_of(where, beat.job), beats.c.number <= number - KEPT))
    old = (beats.c.number <= number - LOGS_KEPT) & (beats.c.log != "")
    connection.execute(update(beats).where(_of(where, beat.job), old).values(log=""))
    return Beat(**row)


def latest(connection: Connection, where: Mapping[str, str], job: str, limit: int = 20) -> list[Beat]:
    """The last ones of a job, the newest first."""
    columns = [beats.c[name] for name in Beat.__dataclass_fields__]
    query = select(*columns).where(_of(where, job)).order_by(beats.c.number.desc()).limit(limit)
    return [Beat(*row) for row in connection.execute(query)]


def _of(where: Mapping[str, str], job: str) -> ColumnElement[bool]:
    here = (beats.c.system == where["system"]) & (beats.c.environment == where["environment"])
    return here & (beats.c.job == job)
