"""Which maintenance windows of a book are open at a moment. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

from opsbook.book.planned import Freeze, Window

ANCHOR = datetime(2018, 1, 1)
"""Where rules without a DTSTART begin, a Monday: every second week is the same one whenever it is asked."""


def open_windows(
    windows: Iterable[Window], environment: str, components: Iterable[str], book_zone: str, now: datetime
) -> tuple[str, ...]:
    """The ids of the windows that are open there for all of these components. `now` is aware."""
    wanted = set(components)
    return tuple(
        window.id
        for window in windows
        if environment in (window.environments or (environment,))
        and (not window.components or wanted <= set(window.components))
        and _is_open(window, book_zone, now)
    )


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


def _is_open(window: Window, book_zone: str, now: datetime) -> bool:
    zone = ZoneInfo(str(window.timezone or book_zone))
    local = now.astimezone(zone).replace(tzinfo=None)
    if window.at is not None:
        start = _aware(window.at, zone)
        return start <= now < start + window.lasts
    # Naive wall-clock time in the window's own zone, so that 02:00 stays 02:00 when summer time begins.
    last = rrulestr(str(window.rrule), dtstart=ANCHOR).before(local, inc=True)
    return last is not None and local < last + window.lasts
