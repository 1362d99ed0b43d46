"""Opened checklists: what was asked, and who or what ticked each line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from opsbook.store.history import IDS_A_STATEMENT, batched
from opsbook.store.watch_tables import checklists


@dataclass(frozen=True)
class Item:
    """One line. `by` is empty while nobody has ticked it; `at` is UTC seconds since 1970."""

    text: str
    check: str = ""
    procedure: str = ""
    optional: bool = False
    by: str = ""
    at: float | None = None
    note: str = ""

    @property
    def ticked(self) -> bool:
        return bool(self.by)


@dataclass(frozen=True)
class Opened:
    """A checklist that is worked, or was. Times are UTC seconds since 1970."""

    id: str
    key: str
    """What it was opened for, so that it is opened once."""
    name: str
    title: str
    items: tuple[Item, ...]
    subject: str
    """`incident:ID`, `window:ID`, `run:ID`, `shift:…`; empty where a schedule opened it."""
    assignee: str
    opened_at: float
    due_at: float | None = None
    done_at: float | None = None

    @property
    def missing(self) -> tuple[Item, ...]:
        """The lines that it is not done without."""
        return tuple(item for item in self.items if not item.ticked and not item.optional)

    @property
    def ticked(self) -> int:
        """How many lines are."""
        return sum(item.ticked for item in self.items)

    def late(self, now: float) -> bool:
        """Whether it should have been done."""
        return self.done_at is None and self.due_at is not None and now >= self.due_at


COLUMNS = tuple(Opened.__dataclass_fields__)


def add_all(connection: Connection, where: Mapping[str, str], opened: Sequence[Opened]) -> None:
    """Store lists whose keys are new."""
    rows = [{name: getattr(one, name) for name in COLUMNS} | {"items": _as_text(one.items), **where} for one in opened]
    if rows:
        connection.execute(insert(checklists), rows)


def known_keys(connection: Connection, keys: Sequence[str]) -> set[str]:
    """Which of these keys have a list."""
    found: set[str] = set()
    for some in batched(keys, IDS_A_STATEMENT):
        found.update(connection.execute(select(checklists.c.key).where(checklists.c.key.in_(some))).scalars())
    return found


def keep_items(connection: Connection, one: Opened, items: Sequence[Item], done_at: float | None) -> bool:
    """Store its lines, where nobody else has changed them since. False where somebody has."""
    seen = (checklists.c.id == one.id) & (checklists.c["items"] == _as_text(one.items))
    values = {"items": _as_text(items), "done_at": done_at}
    return connection.execute(update(checklists).where(seen).values(values)).rowcount > 0


def not_done(connection: Connection, where: Mapping[str, str]) -> list[Opened]:
    """Those that are worked, oldest first."""
    return _read(connection, _here(where) & checklists.c.done_at.is_(None))


def since(connection: Connection, where: Mapping[str, str], moment: float) -> list[Opened]:
    """Those that were opened or done at or after a moment, and all that are not done, oldest first."""
    table = checklists.c
    wanted = table.done_at.is_(None) | (table.opened_at >= moment) | (table.done_at >= moment)
    return _read(connection, _here(where) & wanted)


def named(connection: Connection, where: Mapping[str, str], text: str) -> list[Opened]:
    """Those of this id, or whose id begins or ends with the text; else those of this name that are not done."""
    found = _read(connection, _here(where))
    exact = [one for one in found if one.id == text]
    alike = [one for one in found if text and (one.id.startswith(text) or one.id.endswith(text))]
    return exact or alike or [one for one in found if one.name == text and one.done_at is None]


def first_opened(connection: Connection, where: Mapping[str, str], name: str) -> float | None:
    """When one of this name was opened first."""
    query = select(func.min(checklists.c.opened_at)).where(_here(where), checklists.c.name == name)
    found = connection.execute(query).scalar()
    return None if found is None else float(found)


def by_id(connection: Connection, checklist: str) -> Opened | None:
    """The one of this id."""
    return next(iter(_read(connection, checklists.c.id == checklist)), None)


def by_key(connection: Connection, key: str) -> Opened | None:
    """The one that was opened for this."""
    return next(iter(_read(connection, checklists.c.key == key)), None)


def _here(where: Mapping[str, str]) -> ColumnElement[bool]:
    return (checklists.c.system == where["system"]) & (checklists.c.environment == where["environment"])


def _as_text(items: Sequence[Item]) -> str:
    return json.dumps([asdict(item) for item in items], ensure_ascii=False)


def _read(connection: Connection, wanted: ColumnElement[bool]) -> list[Opened]:
    columns = [checklists.c[name] for name in COLUMNS]
    rows = connection.execute(select(*columns).where(wanted).order_by(checklists.c.opened_at, checklists.c.id))
    return [_opened(dict(row._mapping)) for row in rows]


def _opened(told: dict[str, Any]) -> Opened:
    items = tuple(Item(**item) for item in json.loads(told["items"] or "[]"))
    return Opened(**{**told, "items": items})
