"""When something that grows will be full. Pure.

The line is Theil's and Sen's: the median slope over all pairs of points, and the median of what is left. A third of the
points may lie anywhere without moving it much, so that one purge or one odd night does not count as the trend.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

Points = Sequence[tuple[datetime, float]]

POINTS = 150
"""More are thinned out: there are as many slopes as pairs of them, and further ones add nothing."""
FEWEST = 6
"""Fewer points tell no line."""
SHORTEST = timedelta(hours=6)
"""Points of less time tell no growth."""
HORIZON = timedelta(days=5 * 365)
"""Further away is no forecast any more."""
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Line:
    """A straight line through points: the value at `at`, and its growth a day."""

    at: datetime
    value: float
    growth: float
    scatter: float
    """The median distance of the points from it."""

    def when(self, value: float) -> datetime | None:
        """When it comes to a value; None where it does not within five years, `at` where it is there already."""
        left = value - self.value
        if left == 0:
            return self.at
        if self.growth == 0 or (left > 0) != (self.growth > 0):
            return None
        days = left / self.growth
        return None if days > HORIZON / DAY else self.at + timedelta(days=days)


def line(points: Points) -> Line | None:
    """The line through points, at the time of the newest; None where there are too few, or over too short a time."""
    known = sorted(points)
    if len(known) < FEWEST or known[-1][0] - known[0][0] < SHORTEST:
        return None
    known = thinned(known, POINTS)
    newest = known[-1][0]
    days = [(at - newest) / DAY for at, _ in known]
    values = [value for _, value in known]
    slopes = [
        (values[later] - values[n]) / (days[later] - days[n])
        for n in range(len(known))
        for later in range(n + 1, len(known))
        if days[later] > days[n]
    ]
    if not slopes:
        return None
    growth = statistics.median(slopes)
    level = statistics.median(value - growth * day for day, value in zip(days, values, strict=True))
    scatter = statistics.median(abs(value - level - growth * day) for day, value in zip(days, values, strict=True))
    return Line(newest, level, growth, scatter)


def thinned(points: Points, most: int) -> list[tuple[datetime, float]]:
    """At most so many of the points, evenly chosen, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    step = (len(points) - 1) / (most - 1)
    return [points[round(n * step)] for n in range(most)]


@dataclass(frozen=True)
class Outlook:
    """How near something is to its limit."""

    now: float
    """The newest value that was seen."""
    limit: float
    rising: bool
    """Whether the limit is above; else it is one that values fall to."""
    growth: float | None
    """A day; None where too little is known."""
    full_at: datetime | None
    """None: not within five years, or not known."""

    @property
    def full(self) -> bool:
        """Whether it is there already."""
        return self.now >= self.limit if self.rising else self.now <= self.limit


def outlook(points: Points, limit: float, *, rising: bool | None = None) -> Outlook | None:
    """Where points lead. None without points. `rising`: whether the limit is above; None: as most points lie.

    Invariant: `full_at` is never before the newest point; what does not go towards the limit is never full.
    """
    if not points:
        return None
    known = sorted(points)
    newest, value = known[-1]
    if rising is None:
        rising = statistics.median(each for _, each in known) <= limit
    found = line(known)
    if found is None:
        return Outlook(value, limit, rising, None, None)
    # From what is there now, and not from where the line is: a purge yesterday made room.
    begin = Line(newest, value, found.growth, found.scatter)
    full = newest if (value >= limit if rising else value <= limit) else begin.when(limit)
    return Outlook(value, limit, rising, found.growth, full)
