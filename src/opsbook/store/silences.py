"""Silences: alerts that are known and not told, until a moment that is named."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, insert, select, update

from opsbook.store.watch_tables import silences

EVERYTHING = "*"
"""Stands among the components of a silence that covers all, as that of a window which names none."""


@dataclass(frozen=True)
class Silence:
    """One of them. Times are UTC seconds since 1970; `origin` says what made it: cli, book:ID, window:ID, run:ID …"""

    id: str
    checks: tuple[str, ...]
    components: tuple[str, ...]
    reason: str
    author: str
    origin: str
    start: float
    until: float
    remote: str = ""
    ended_at: float | None = None

    @property
    def end(self) -> float:
        """When it is over: by somebody, or by itself."""
        return self.until if self.ended_at is None else min(self.ended_at, self.until)

    def holds(self, now: float) -> bool:
        """Whether it covers anything now. Its last second is the one before its end."""
        return self.start <= now < self.end

    def covers(self, check: str, component: str) -> bool:
        """Whether an alert of this check and component is known. An empty name is covered by no name."""
        if EVERYTHING in self.components:
            return True
        return bool((check and check in self.checks) or (component and component in self.components))


class Covering:
    """The silences of one moment, asked for many alerts: two look-ups each, however many silences there are."""

    def __init__(self, holding: Iterable[Silence]) -> None:
        self._checks: dict[str, Silence] = {}
        self._components: dict[str, Silence] = {}
        for one in holding:
            for names, found in ((one.checks, self._checks), (one.components, self._components)):
                for name in names:
                    found[name] = max(one, found.get(name, one), key=_lasting)

    def of(self, check: str, component: str) -> str:
        """The id of the silence that covers an alert, the one that lasts longest; empty where none does."""
        found = [self._components.get(EVERYTHING)]
        found += [self._checks.get(check) if check else None, self._components.get(component) if component else None]
        return max((one for one in found if one), key=_lasting).id if any(found) else ""


def _lasting(one: Silence) -> tuple[float, str]:
    return one.end, one.id


def covering(connection: Connection, where: Mapping[str, str], check: str, component: str, now: float) -> str:
    """The id of the silence that covers an alert now; empty where none does. For many alerts: `covering_many`."""
    return covering_many(connection, where, now).of(check, component)


def covering_many(connection: Connection, where: Mapping[str, str], now: float) -> Covering:
    """What is silent in an environment now, to be asked for any number of alerts."""
    return Covering(holding(connection, where, now))


def holding(connection: Connection, where: Mapping[str, str], now: float) -> list[Silence]:
    """The silences that cover something now, the one that ends first at the beginning."""
    table = silences.c
    wanted = _here(where) & table.ended_at.is_(None) & (table.start <= now) & (table.until > now)
    return _read(connection, wanted)


def not_over(connection: Connection, where: Mapping[str, str], now: float) -> list[Silence]:
    """Those that cover something now or will."""
    return _read(connection, _here(where) & silences.c.ended_at.is_(None) & (silences.c.until > now))


def since(connection: Connection, where: Mapping[str, str], moment: float) -> list[Silence]:
    """Those that were there at this moment or came after it."""
    return [one for one in _read(connection, _here(where) & (silences.c.until > moment)) if one.end > moment]


def made_by(connection: Connection, where: Mapping[str, str], origin: str, *, alike: bool = False) -> list[Silence]:
    """Those of one origin, over or not, those that go on at the end; `alike`: that begin with it."""
    mine = silences.c.origin.startswith(origin, autoescape=True) if alike else silences.c.origin == origin
    return sorted(_read(connection, _here(where) & mine), key=lambda one: (one.ended_at or math.inf, one.start))


def named(connection: Connection, where: Mapping[str, str], text: str) -> list[Silence]:
    """Those whose id is this text, or begins or ends with it."""
    found = [
        one for one in _read(connection, _here(where)) if text and (one.id.startswith(text) or one.id.endswith(text))
    ]
    return [one for one in found if one.id == text] or found


def add(connection: Connection, where: Mapping[str, str], silence: Silence) -> None:
    """Store one."""
    row = {**vars(silence), "checks": json.dumps(silence.checks), "components": json.dumps(silence.components)}
    connection.execute(insert(silences).values({**where, **row}))


def end(connection: Connection, silence: str, now: float) -> bool:
    """End one before its time. False where it was over."""
    going = (silences.c.id == silence) & silences.c.ended_at.is_(None) & (silences.c.until > now)
    return connection.execute(update(silences).where(going).values(ended_at=now)).rowcount > 0


def extend(connection: Connection, silence: str, until: float) -> bool:
    """Let one that nobody ended last until then. False where it was ended."""
    going = (silences.c.id == silence) & silences.c.ended_at.is_(None)
    return connection.execute(update(silences).where(going).values(until=until)).rowcount > 0


def is_in_alertmanager(connection: Connection, silence: str, remote: str) -> None:
    """Remember the id that the same silence has in Alertmanager."""
    connection.execute(update(silences).where(silences.c.id == silence).values(remote=remote))


def _here(where: Mapping[str, str]) -> ColumnElement[bool]:
    return (silences.c.system == where["system"]) & (silences.c.environment == where["environment"])


def _read(connection: Connection, wanted: ColumnElement[bool]) -> list[Silence]:
    names = ("id", "checks", "components", "reason", "author", "origin", "start", "until", "remote", "ended_at")
    columns = [silences.c[name] for name in names]
    rows = connection.execute(select(*columns).where(wanted).order_by(silences.c.until, silences.c.id))
    return [_silence(row) for row in rows]


def _silence(row: Row[Any]) -> Silence:
    told: dict[str, Any] = dict(row._mapping)
    for name in ("checks", "components"):
        told[name] = tuple(json.loads(told[name]))
    return Silence(**told)
