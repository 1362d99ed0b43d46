"""Which maintenance windows of a book are open at a moment. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rruleset, rrulestr

from opsbook.book.planned import Freeze, Window

ANCHOR = datetime(2018, 1, 1)
"""Where rules without a DTSTART begin, a Monday: every second week is the same one whenever it is asked."""


DAY = timedelta(days=1)


@dataclass(frozen=True, order=True)
class Occurrence:
    """One time that a window comes. Aware UTC; it is open from its start until just before its end."""

    start: datetime
    until: datetime
    window: str

    def holds(self, now: datetime) -> bool:
        """Whether it is open."""
        return self.start <= now < self.until


def occurrences(window: Window, book_zone: str, begin: datetime, end: datetime) -> list[Occurrence]:
    """The times that a window is open at some moment from `begin` until just before `end`, in their order.

    A rule says wall-clock times of the window's zone, so that 02:00 stays 02:00 when summer time begins. An hour that
    the clock leaves out counts as the one after it; of one that comes twice, the first. `lasts` is time that passes.
    A rule whose DTSTART names its zone (TZID, or Z for UTC) goes by that one.
    """
    zone = ZoneInfo(str(window.timezone or book_zone))
    if window.at is not None:
        starts = [_aware(window.at, zone)]
    else:
        # A day more at either side: wall-clock times are turned into moments only afterwards.
        first, last = (one.astimezone(zone) for one in (begin - window.lasts - DAY, end + DAY))
        rule = _rule(str(window.rrule))
        if not _has_zone(str(window.rrule)):
            first, last = first.replace(tzinfo=None), last.replace(tzinfo=None)
        starts = [_aware(one, zone) for one in rule.between(first, last, inc=True)]
    moments = sorted({one.astimezone(UTC) for one in starts})
    found = [Occurrence(one, one + window.lasts, window.id) for one in moments]
    return [one for one in found if one.start < end and one.until > begin]


@lru_cache(maxsize=256)
def _rule(text: str) -> rrule | rruleset:
    return rrulestr(text, dtstart=ANCHOR, cache=True)


@lru_cache(maxsize=256)
def _has_zone(text: str) -> bool:
    """Whether a rule says of its own in which time zone it is."""
    first = next(iter(_rule(text)), None)
    return first is not None and first.tzinfo is not None


def open_now(
    windows: Iterable[Window], environment: str, components: Iterable[str], book_zone: str, now: datetime
) -> list[Occurrence]:
    """The windows that are open there for all of these components, by their rules alone. `now` is aware."""
    wanted = set(components)
    return [
        one
        for window in windows
        if environment in (window.environments or (environment,))
        and (not window.components or wanted <= set(window.components))
        for one in occurrences(window, book_zone, now, now + timedelta(microseconds=1))
    ]


def open_windows(
    windows: Iterable[Window], environment: str, components: Iterable[str], book_zone: str, now: datetime
) -> tuple[str, ...]:
    """The ids of those of `open_now`."""
    found = open_now(windows, environment, components, book_zone, now)
    return tuple(dict.fromkeys(one.window for one in found))


def holding_freezes(freezes: Iterable[Freeze], environment: str, book_zone: str, now: datetime) -> tuple[Freeze, ...]:
    """The freezes that hold there. `now` is aware."""
    zone = ZoneInfo(str(book_zone))
    return tuple(
        freeze
        for freeze in freezes
        if environment in (freeze.environments or (environment,))
        and _aware(freeze.start, zone) <= now < _aware(freeze.end, zone)
    )


def _aware(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
