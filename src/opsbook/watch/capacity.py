"""What fills up: the stored values of a check, where they lead, and a warning long enough before the end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from opsbook.book.catalogue import ObservationSpec
from opsbook.book.checks import Capacity, Check
from opsbook.book.system import System
from opsbook.book.units import parse_quantity, show, show_duration
from opsbook.checks.evaluate import State
from opsbook.engine.setting import Setting
from opsbook.observations.registry import observations
from opsbook.store import rollups
from opsbook.store.database import reading
from opsbook.watch.contract import Signal, Watch
from opsbook.watch.deciding import tell
from opsbook.watch.registry import part
from opsbook.watch.trends import DAY, Outlook, Points, outlook

RHYTHM = timedelta(minutes=15)
FEW_HOURS = 24
"""With fewer hourly figures than this the five-minute ones are taken: a new book knows something on its first day."""


@dataclass(frozen=True)
class Growing:
    """One thing that fills up, and how near it is."""

    capacity: Capacity
    check: Check
    spec: ObservationSpec
    points: Points
    found: Outlook | None

    def state(self, now: datetime) -> State:
        """Full is critical; nearer than `warn_before` is a warning."""
        if self.found is None:
            return State.OK
        if self.found.full:
            return State.CRITICAL
        full = self.found.full_at
        return State.WARNING if full is not None and full - now < self.capacity.warn_before else State.OK

    def shown(self, value: float) -> str:
        """A value with its unit."""
        return show(value, self.spec.dimension)

    def sentence(self, now: datetime) -> str:
        """For people."""
        found = self.found
        if found is None:
            return "nothing was measured yet"
        at = f"{self.shown(found.now)} of {self.shown(found.limit)}"
        if found.full:
            return f"{at}: it is there"
        if found.growth is None:
            return f"{at}; too little was measured for a forecast"
        moves = f"{'+' if found.growth >= 0 else '−'}{self.shown(abs(found.growth))} a day"
        if found.full_at is None:
            return f"{at}, {moves}: not within five years"
        left = max((found.full_at - now).total_seconds(), 0.0)
        return f"{at}, {moves}: there on {found.full_at.astimezone(UTC):%Y-%m-%d}, in {show_duration(left)}"

    def as_json(self, now: datetime) -> dict[str, Any]:
        """For programs: values in the observation's canonical unit, times in ISO form."""
        found = self.found
        return {
            "id": self.capacity.id,
            "check": self.check.id,
            "component": self.check.of,
            "state": self.state(now),
            "value": found.now if found else None,
            "limit": found.limit if found else None,
            "growth_a_day": found.growth if found else None,
            "full_at": found.full_at.isoformat() if found and found.full_at else None,
            "days_left": (found.full_at - now) / DAY if found and found.full_at else None,
            "sentence": self.sentence(now),
        }


def outlooks(setting: Setting, system: System, now: datetime) -> list[Growing]:
    """Everything in `capacity` of the book, the soonest full first. Blocking. Raises StoreFailed."""
    checks = {check.id: check for check in system.checks}
    where = {"system": system.model.system, "environment": system.name}
    with reading(setting.store) as connection:
        found = [
            _growing(connection, where, one, checks[one.check], now)
            for one in system.model.capacity
            if one.check in checks
        ]
    far = datetime.max.replace(tzinfo=UTC)
    return sorted(found, key=lambda one: (one.found.full_at or far) if one.found else far)


def _growing(
    connection: Connection, where: Mapping[str, str], capacity: Capacity, check: Check, now: datetime
) -> Growing:
    spec = observations()[check.observe].spec
    points = measured(connection, where, check.id, now - capacity.over, now)
    limit = parse_quantity(capacity.limit).value
    return Growing(capacity, check, spec, points, outlook(points, limit, rising=_rising(check, spec)))


def measured(
    connection: Connection, where: Mapping[str, str], check: str, start: datetime, end: datetime
) -> list[tuple[datetime, float]]:
    """The stored values of a check as means over an hour, or over five minutes where there are few hours yet."""
    begin, until = start.timestamp(), end.timestamp()
    found = rollups.figures(connection, where, check, rollups.HOUR, begin, until)
    if len(found) < FEW_HOURS:
        found = rollups.figures(connection, where, check, rollups.FIVE_MINUTES, begin, until)
    middle = found[0].span / 2 if found else 0
    return [
        (datetime.fromtimestamp(min(one.start + middle, until), UTC), one.mean) for one in found if one.mean is not None
    ]


def _rising(check: Check, spec: ObservationSpec) -> bool | None:
    """Whether high values are the bad ones, by the thresholds; None where these do not tell."""
    given = check.critical or check.warning or spec.critical or spec.warning
    if given is None:
        return None
    return {">": True, ">=": True, "<": False, "<=": False}.get(given.operator)


@part
class CapacityWatch:
    """Tells when something will be full too soon."""

    name = "capacity"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    async def tick(self, now: datetime) -> datetime:
        if not self.watch.system.model.capacity:
            return now + timedelta(hours=1)
        found = await asyncio.to_thread(outlooks, self.watch.setting, self.watch.system, now)
        await tell(self.watch, [_signal(one, now) for one in found])
        return now + RHYTHM


def _signal(one: Growing, now: datetime) -> Signal:
    return Signal(
        fingerprint=f"capacity:{one.capacity.id}",
        source="opsbook",
        at=now,
        state=one.state(now),
        title=f"room for {one.capacity.id}",
        sentence=one.sentence(now),
        shown=one.shown(one.found.now) if one.found else "",
        component=one.check.of,
        procedure=one.check.procedure or "",
    )
