"""What schedules asked for: a row for each time that something was due, so that it begins once whatever dies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select, update

from opsbook.store.watch_tables import due

KNOWN, DUE, RUNNING = "known", "due", "running"
"""`known`: when a schedule was first seen; `due`: to be begun; `running`: its run was asked for."""
OPEN = (DUE, RUNNING)
DONE, FAILED, REFUSED, MISSED, SKIPPED = "done", "failed", "refused", "missed", "skipped"


@dataclass(frozen=True)
class Due:
    """One time that a schedule asked for something. Times are UTC seconds since 1970."""

    key: str
    at: float
    state: str
    run: str = ""
    note: str = ""
    started_at: float | None = None
    ended_at: float | None = None


def newest(connection: Connection, where: Mapping[str, str], key: str) -> Due | None:
    """The last time of a schedule that there is a row for."""
    query = _columns().where(_here(where), due.c.key == key).order_by(due.c.at.desc()).limit(1)
    row = connection.execute(query).first()
    return None if row is None else Due(*row)


def first(connection: Connection, where: Mapping[str, str], key: str) -> Due | None:
    """When a schedule was first seen."""
    query = _columns().where(_here(where), due.c.key == key).order_by(due.c.at).limit(1)
    row = connection.execute(query).first()
    return None if row is None else Due(*row)


def going(connection: Connection, where: Mapping[str, str]) -> list[Due]:
    """What has begun or is to be begun, oldest first."""
    query = _columns().where(_here(where), due.c.state.in_(OPEN)).order_by(due.c.at)
    return [Due(*row) for row in connection.execute(query)]


def last_told(connection: Connection, where: Mapping[str, str], key: str) -> Due | None:
    """The last time of which the outcome is known."""
    said = due.c.state.in_((DONE, FAILED, REFUSED))
    query = _columns().where(_here(where), due.c.key == key, said).order_by(due.c.at.desc()).limit(1)
    row = connection.execute(query).first()
    return None if row is None else Due(*row)


def between(connection: Connection, where: Mapping[str, str], start: float, end: float) -> list[Due]:
    """All of a time, oldest first."""
    within = (due.c.at >= start) & (due.c.at < end) & (due.c.state != KNOWN)
    return [Due(*row) for row in connection.execute(_columns().where(_here(where), within).order_by(due.c.at))]


def add(connection: Connection, where: Mapping[str, str], rows: Iterable[Due]) -> None:
    """Note them; those that are known already stay as they are."""
    for row in rows:
        same = _here(where) & (due.c.key == row.key) & (due.c.at == row.at)
        if connection.execute(select(due.c.key).where(same)).first() is None:
            connection.execute(insert(due).values({**where, **vars(row)}))


def change(connection: Connection, where: Mapping[str, str], key: str, at: float, **values: Any) -> None:
    """Note what became of one."""
    same = _here(where) & (due.c.key == key) & (due.c.at == at)
    connection.execute(update(due).where(same).values(**values))


def _columns() -> Any:
    return select(*(due.c[name] for name in Due.__dataclass_fields__))


def _here(where: Mapping[str, str]) -> ColumnElement[bool]:
    return (due.c.system == where["system"]) & (due.c.environment == where["environment"])
