"""Windows that came: noticed, open, overrun, closed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select, update

from opsbook.store.watch_tables import occurrences

OPEN = ("open", "overrun")


@dataclass(frozen=True)
class Came:
    """One time that a window of the book came, or one that a person opened. Times are UTC seconds since 1970."""

    window: str
    start: float
    until: float
    state: str
    """noticed, open, overrun or closed."""
    title: str = ""
    components: tuple[str, ...] = ()
    """What it affects; empty: all."""
    author: str = ""
    """Who opened it; empty where the book's rule did."""
    run: str = ""
    """The newest run that belongs to it."""
    checklist: str = ""
    """The id of its opened checklist."""
    note: str = ""
    """What keeps it, or why something of it did not happen."""
    noticed_at: float | None = None
    opened_at: float | None = None
    closed_at: float | None = None
    reminded_at: float | None = None

    @property
    def open(self) -> bool:
        """Whether its work goes on, even beyond its end."""
        return self.state in OPEN

    def allows(self, now: float) -> bool:
        """Whether a policy that asks for a window has one: open, and not beyond its end."""
        return self.open and self.start <= now < self.until


COLUMNS = tuple(Came.__dataclass_fields__)


def came(connection: Connection, where: Mapping[str, str], *, since: float) -> list[Came]:
    """Those that end at or after this moment, and all that are open, in the order of their starts."""
    going = occurrences.c.state.in_(OPEN) | (occurrences.c.until >= since)
    return _read(connection, _here(where) & going)


def still_open(connection: Connection, where: Mapping[str, str]) -> list[Came]:
    """Those whose work goes on, also beyond their end."""
    return _read(connection, _here(where) & occurrences.c.state.in_(OPEN))


def one(connection: Connection, where: Mapping[str, str], window: str, start: float) -> Came | None:
    """The one that began, or begins, at this moment."""
    return next(iter(_read(connection, _this(where, window, start))), None)


def add(connection: Connection, where: Mapping[str, str], row: Came) -> None:
    """Store one that is not there yet."""
    values = {**vars(row), "components": json.dumps(row.components)}
    connection.execute(insert(occurrences).values({**where, **values}))


def change(connection: Connection, where: Mapping[str, str], row: Came, **values: Any) -> bool:
    """Change one, where it is in the state that the caller has seen. False where another process was faster."""
    seen = _this(where, row.window, row.start) & (occurrences.c.state == row.state)
    return connection.execute(update(occurrences).where(seen).values(values)).rowcount > 0


def _here(where: Mapping[str, str]) -> ColumnElement[bool]:
    return (occurrences.c.system == where["system"]) & (occurrences.c.environment == where["environment"])


def _this(where: Mapping[str, str], window: str, start: float) -> ColumnElement[bool]:
    return _here(where) & (occurrences.c.window == window) & (occurrences.c.start == start)


def _read(connection: Connection, wanted: ColumnElement[bool]) -> list[Came]:
    columns = [occurrences.c[name] for name in COLUMNS]
    rows = connection.execute(select(*columns).where(wanted).order_by(occurrences.c.start, occurrences.c.window))
    return [_came(dict(row._mapping)) for row in rows]


def _came(told: dict[str, Any]) -> Came:
    return Came(**{**told, "components": tuple(json.loads(told["components"] or "[]"))})
