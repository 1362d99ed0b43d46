"""A shop with people: a rotation, a boss, channels, severities. And what its store says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from tests.unit.watch.watched import HandClock, a_signal, a_watch

from opsbook.engine.access import Actor
from opsbook.store import incidents, messages
from opsbook.store.database import reading
from opsbook.store.incidents import Incident
from opsbook.store.messages import MessageRow
from opsbook.watch.alerts import take_in
from opsbook.watch.contract import Turn, Watch
from opsbook.watch.incidents import respond
from opsbook.watch.pursuit import pursue

T = TypeVar("T")
ANA = Actor("ana", "a test")
WHERE = {"system": "shop", "environment": "production"}
PEOPLE: dict[str, Any] = {
    "severities": {
        "P1": {"means": "down", "respond": "15m", "resolve": "1h", "update_every": "30m"},
        "P2": {"respond": "1h", "escalation": [{"level": "L1", "notify": "chat"}]},
        "P4": {"respond": "1d", "business_hours": {}},
    },
    "incidents": {"severity": {"warning": "P2"}, "open_for": ["critical", "warning"]},
    "escalation": [
        {"level": "L1", "notify": "first"},
        {"level": "L2", "notify": "boss", "within": "5m", "repeat": "10m"},
    ],
    "oncall": {"first": {"members": ["ana", "bob"], "start": "2026-01-05T00:00:00"}},
    "contacts": {
        "ana": {"notify": "${ANA:-json://127.0.0.1:1/ana}"}, "bob": {"notify": "${BOB:-json://127.0.0.1:1/bob}"},
        "boss": {"email": "boss@example.org"}, "nobody": {"phone": "+1 555 0100"},
    },
    "channels": {"chat": "json://127.0.0.1:1/chat", "mail": "smtp://127.0.0.1:1?to=all@example.org"},
}  # fmt: skip


class Desk:
    """A watch of the shop, as tests use it."""

    def __init__(self, folder: Path, store: Engine, **keys: Any) -> None:
        self.clock = HandClock()
        self.watch: Watch = a_watch(folder, store, self.clock, **{**PEOPLE, **keys})
        self.system = self.watch.system

    @property
    def now(self) -> datetime:
        return self.clock.at

    def hears(self, *states: tuple[str, str], **keys: Any) -> list[Turn]:
        """What sources say now: pairs of a thing's name and its state."""
        signals = [a_signal(state, self.now, fingerprint, **keys) for fingerprint, state in states]
        return self.write(lambda connection: take_in(connection, self.system, signals, self.now, respond))

    def bad(self, name: str = "check:db-up", state: str = "critical", **keys: Any) -> list[Turn]:
        return self.hears((name, state), **keys)

    def well(self, name: str = "check:db-up", **keys: Any) -> None:
        """Well twice running."""
        self.hears((name, "ok"), **keys)
        self.clock.move(seconds=10)
        self.hears((name, "ok"), **keys)

    def later(self, **by: float) -> datetime | None:
        """Let time pass, and follow the incidents."""
        self.clock.move(**by)
        return self.write(lambda connection: pursue(connection, self.system, self.now))

    def write(self, do: Callable[[Connection], T]) -> T:
        found: list[T] = []
        self.watch.setting.write([lambda connection: found.append(do(connection))])
        return found[0]

    def read(self, ask: Callable[[Connection], T]) -> T:
        with reading(self.watch.setting.store) as connection:
            return ask(connection)

    @property
    def incidents(self) -> list[Incident]:
        """All, oldest first."""
        found = self.read(lambda connection: incidents.page(connection, WHERE, limit=1000))
        return sorted(found, key=lambda one: (one.opened_at, one.id))

    @property
    def one(self) -> Incident:
        (found,) = self.incidents
        return found

    def lines(self, kind: str = "") -> list[str]:
        """The timeline of the only incident."""
        return [
            event.text
            for event in self.read(lambda connection: incidents.timeline(connection, self.one.id))
            if not kind or event.kind == kind
        ]

    def messages(self, kind: str = "") -> list[MessageRow]:
        rows = self.read(
            lambda connection: [row for one in self.incidents for row in messages.of_incident(connection, one.id)]
        )
        return [row for row in rows if not kind or row.kind == kind]

    def told(self, kind: str = "page") -> list[str]:
        """The addresses that messages of a kind go to, in order."""
        return [row.channel for row in self.messages(kind)]

    def act(self, act: Callable[..., T], *more: Any, actor: Actor = ANA) -> T:
        """An act of somebody on the only incident."""
        return self.write(lambda connection: act(connection, self.system, self.one, actor, *more, self.now))
