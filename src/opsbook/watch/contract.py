"""What the parts of the watch say to each other.

A *source* (a check, Alertmanager, a job that should have reported) says what is so now: a `Signal`. The desk of alerts
(`alerts`) makes alerts of signals, and tells what became of each: a `Turn`. Incidents are made of turns, messages of
incidents. All of that is decided in one transaction of the store, from facts and a time that are handed in, so that a
process that dies has either decided it or not. What is sent is sent afterwards, from the outbox.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol

from sqlalchemy import Connection

from opsbook.book.system import System
from opsbook.checks.evaluate import State
from opsbook.connectors.contract import Connections
from opsbook.engine.setting import Setting
from opsbook.watch.outage import Outage

if TYPE_CHECKING:
    from opsbook.engine.service import Service

Source = Literal["check", "alertmanager", "beat", "opsbook"]


@dataclass(frozen=True)
class Signal:
    """What a source says of one thing now. The fingerprint is the thing's name: `check:ID`, `beat:JOB` …"""

    fingerprint: str
    source: Source
    at: datetime
    state: State
    title: str
    sentence: str = ""
    shown: str = ""
    """The value as people read it."""
    check: str = ""
    component: str = ""
    cause: str = ""
    """The fingerprint of what explains it; empty where nothing does."""
    hold: timedelta = timedelta(0)
    """How long it must stay bad before it is an alert."""
    severity: str = ""
    """A severity of the book, where the source knows one."""
    procedure: str = ""
    notify: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    since: datetime | None = None
    """When it began by the source's account, not after `at`; None where it began as it was first told."""


class Phase(StrEnum):
    """Where an alert stands. Pending ones tell nobody anything yet."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Alert:
    """One time that something was bad. Times are aware UTC."""

    id: str
    fingerprint: str
    source: Source
    phase: Phase
    state: State
    title: str
    since: datetime
    seen_at: datetime
    sentence: str = ""
    shown: str = ""
    check: str = ""
    component: str = ""
    cause: str = ""
    severity: str = ""
    procedure: str = ""
    notify: tuple[str, ...] = ()
    hold: timedelta = timedelta(0)
    labels: dict[str, str] = field(default_factory=dict)
    at_least: dict[State, datetime] = field(default_factory=dict)
    """Since when it has been at least as bad as each of these states, without an ok in between."""
    flapping: bool = False
    """It goes to and fro: it stays firing, at its worst, and is told once, until it was calm for long enough."""
    changes: tuple[datetime, ...] = ()
    """When it turned from well to bad, or back, or to another state: the latest ones, the newest last."""
    silenced_by: str = ""
    """The id of the silence that covers it now."""
    incident: str = ""
    fired_at: datetime | None = None
    well_since: datetime | None = None
    resolved_at: datetime | None = None


class Became(StrEnum):
    """What a turn did to an alert."""

    FIRING = "firing"
    WORSE = "worse"
    BETTER = "better"
    RESOLVED = "resolved"
    SILENCED = "silenced"
    HEARD = "heard"
    """Its silence ended while it is still bad: it is told as if it fired now."""


@dataclass(frozen=True)
class Turn:
    """An alert that turned, as it is after that."""

    alert: Alert
    became: Became
    at: datetime


Respond = Callable[[Connection, System, Sequence[Turn], datetime], None]
"""Incidents' part in the transaction that decides: opens, joins, resolves, and puts messages in the outbox."""


@dataclass
class Standing:
    """How a part does, for status and metrics."""

    name: str
    ticks: int = 0
    failed: int = 0
    """How many ticks failed since it last did its work."""
    error: str = ""
    ticked_at: datetime | None = None
    seconds: float = 0.0
    """How long the last tick took."""
    lag: float = 0.0
    """How much later than it asked for it was called."""
    due: datetime | None = None


@dataclass
class Watch:
    """What every part of the watch works with: one environment of one book."""

    setting: Setting
    system: System
    connections: Connections
    standings: dict[str, Standing] = field(default_factory=dict)
    """How the parts do in this process, by name; empty where it runs none."""
    outage: Outage = field(default_factory=Outage)

    def service(self, reason: str) -> Service:
        """The engine, acting as opsbook itself for a reason that the audit chain keeps: `schedule backup/nightly`."""
        from opsbook.engine.access import watch_actor
        from opsbook.engine.service import Service  # who only looks at alerts never plans

        return Service(self.setting, self.system, watch_actor(reason))

    @property
    def where(self) -> dict[str, str]:
        """The columns that each row of this watch has."""
        return {"system": self.system.model.system, "environment": self.system.name}


class Part(Protocol):
    """One part of the watch. It keeps nothing that matters in memory: a tick does what is due by the store's rows."""

    name: str

    async def tick(self, now: datetime) -> datetime:
        """Do what is due, and say when to come again. Raises OpsbookError where it could not; it is tried again."""
        ...


MakePart = Callable[[Watch], Part]


def soonest(moments: Iterable[datetime | None], otherwise: datetime) -> datetime:
    """The first of the moments that there are."""
    return min((moment for moment in moments if moment is not None), default=otherwise)
