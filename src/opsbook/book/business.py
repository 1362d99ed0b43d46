"""Clocks that run in business hours only. Pure: hours, holidays, zone and times are arguments, aware ones.

Invariants: `elapsed` never falls when its end moves on, and is additive; `elapsed(start, deadline(start, budget))` is
the budget. Hours are wall-clock time of their zone: 09:00 stays 09:00 when summer time begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from opsbook.book.people import BusinessHours

DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
DAY = timedelta(days=1)
NEVER = datetime.max.replace(tzinfo=UTC) - timedelta(days=2)
"""A deadline that no clock of ours reaches."""


@dataclass(frozen=True)
class Calendar:
    """When a clock runs. Without `hours` it always does, holidays or not."""

    hours: BusinessHours | None = None
    zone: str = "UTC"
    holidays: frozenset[date] = frozenset()

    def open(self, moment: datetime) -> bool:
        """Whether it runs at a moment."""
        return next(self.spans(moment), (NEVER, NEVER))[0] <= moment

    def spans(self, start: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The spans in which it runs that end after `start`, in order, in UTC; without end."""
        if self.hours is None:
            yield start.astimezone(UTC), NEVER
            return
        zone = ZoneInfo(self.hours.timezone or self.zone)
        day = start.astimezone(zone).date() - DAY
        while day < NEVER.date():
            if DAYS[day.weekday()] in self.hours.days and day not in self.holidays:
                opens, closes = instant(day, self.hours.start, zone), _last(day, self.hours.end, zone)
                if closes > max(start, opens):
                    yield opens, closes
            day += DAY


def calendar(hours: BusinessHours | None, zone: str, holidays: Iterable[date] = ()) -> Calendar:
    """The calendar of some hours; `zone` is the book's."""
    return Calendar(hours, str(hours.timezone or zone) if hours else str(zone), frozenset(holidays))


def elapsed(calendar: Calendar, start: datetime, end: datetime) -> timedelta:
    """How long the clock ran between two moments; nothing where the end is not after the start."""
    # Python subtracts two moments of one zone by their wall clocks, which is wrong in the nights that clocks change.
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    total = timedelta(0)
    for opens, closes in calendar.spans(start):
        if opens >= end:
            break
        total += max(timedelta(0), min(closes, end) - max(opens, start))
    return total


def deadline(calendar: Calendar, start: datetime, budget: timedelta) -> datetime:
    """When the clock will have run for so long since `start`. NEVER where it never will."""
    left = budget
    for opens, closes in calendar.spans(start):
        begins = max(opens, start)
        if closes - begins >= left:
            return min(begins.astimezone(UTC) + left, NEVER)
        left -= closes - begins
    return NEVER


def instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """A wall-clock time as UTC: the first of the two that it names when clocks are set back."""
    return datetime.combine(day, at, zone).astimezone(UTC)


def _last(day: date, at: time, zone: ZoneInfo) -> datetime:
    """As `instant`, but the last of two. One that clocks jump over is the moment that its offset before would give."""
    both = (datetime.combine(day, at, zone), datetime.combine(day, at, zone).replace(fold=1))
    return max(one.astimezone(UTC) for one in both)
