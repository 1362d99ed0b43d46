"""What a component was like on each day: from the stored figures of its checks, with the gaps that they have.

A component is down while a check that tells whether it is there is critical; where it has none, while any of its
checks is. Planned maintenance counts neither as up nor as down; a time without results is a gap, and never up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from opsbook.book.checks import Check
from opsbook.observations.registry import observations
from opsbook.store import rollups
from opsbook.store.rollups import FIVE_MINUTES, HOUR, Rollup

Span = tuple[float, float]
"""From a moment until another, UTC seconds since 1970."""


@dataclass(frozen=True)
class Day:
    """A day of one component. `up` and `down` count results; both are 0 where nothing was measured."""

    day: date
    up: int = 0
    down: int = 0
    maintenance: bool = False

    @property
    def uptime(self) -> float | None:
        """Between 0 and 1; None where nothing is known."""
        measured = self.up + self.down
        return self.up / measured if measured else None

    def as_json(self) -> dict[str, object]:
        share = None if self.uptime is None else round(self.uptime * 100, 3)
        return {"day": self.day.isoformat(), "uptime_percent": share, "maintenance": self.maintenance}


def deciding(checks: Iterable[Check], component: str) -> list[Check]:
    """The checks that tell whether a component is there; all of its own where none does that alone."""
    own = [check for check in checks if check.of == component]
    vital = [check for check in own if observations()[check.observe].spec.vital]
    return vital or own


def day_of(
    connection: Connection, where: Mapping[str, str], checks: Sequence[Check], day: date, zone: str,
    planned: Sequence[Span], now: datetime,
) -> Day:  # fmt: skip
    """A component on one day. Of several deciding checks the worst counts."""
    begin, end = bounds(day, zone)
    until = min(end, now.timestamp() + 1)
    holes = [(max(first, begin), min(last, until)) for first, last in planned if first < until and last > begin]
    counts = [_count(connection, where, check.id, begin, until, holes) for check in checks]
    measured = [one for one in counts if sum(one)]
    if not measured:
        return Day(day, maintenance=bool(holes))
    up, down = min(measured, key=lambda one: one[0] / sum(one))
    return Day(day, up, down, bool(holes))


def bounds(day: date, zone: str) -> Span:
    """When a day begins and ends in a zone: 23, 24 or 25 hours."""
    place = ZoneInfo(zone)
    begin, end = (datetime.combine(one, time(), place).astimezone(UTC) for one in (day, day + timedelta(days=1)))
    return begin.timestamp(), end.timestamp()


def uptime(days: Iterable[Day]) -> float | None:
    """Over all days, each weighed by what was measured of it."""
    kept = [day for day in days if day.uptime is not None]
    measured = sum(day.up + day.down for day in kept)
    return sum(day.up for day in kept) / measured if measured else None


def _count(
    connection: Connection, where: Mapping[str, str], check: str, begin: float, until: float, holes: Sequence[Span]
) -> tuple[int, int]:
    """How many results were up and down, without those of maintenance. Hours are taken where that loses nothing."""
    span = FIVE_MINUTES if holes or begin % HOUR or until % HOUR else HOUR
    rolled = min(max(rollups.rolled_until(connection, where, span) or begin, begin), until)
    up = down = 0
    for one in rollups.figures(connection, where, check, span, begin, rolled):
        if not _within(one, holes):
            up, down = up + one.ok + one.warning, down + one.critical
    counts = rollups.counted(connection, where, check, rolled, until) if not holes else {}
    return up + counts.get("ok", 0) + counts.get("warning", 0), down + counts.get("critical", 0)


def _within(one: Rollup, holes: Sequence[Span]) -> bool:
    return any(one.start < last and one.start + one.span > first for first, last in holes)
