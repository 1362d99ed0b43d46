"""When a cron line of the book is due, by the wall clock of its zone. Pure.

An hour that the clock leaves out counts as the first moment after it; of one that comes twice, the first counts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MARGIN = timedelta(hours=26)
"""More than any change of a clock, so that no moment is lost between wall-clock time and UTC."""


def due_between(cron: str, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    """The moments after `begin` until `end`, both aware, in their order and in UTC."""
    from croniter import croniter_range

    place = ZoneInfo(zone)
    first, last = (
        (begin - MARGIN).astimezone(place).replace(tzinfo=None),
        (end + MARGIN).astimezone(place).replace(tzinfo=None),
    )
    walls = croniter_range(first, last, cron, ret_type=datetime)
    moments = sorted({_moment(wall, place) for wall in walls})
    return [moment for moment in moments if begin < moment <= end]


def next_due(cron: str, zone: str, now: datetime, within: timedelta = timedelta(days=400)) -> datetime | None:
    """The next moment after `now`; None where none comes in this time."""
    step = timedelta(days=2)
    begin = now
    while begin < now + within:
        if found := due_between(cron, zone, begin, begin + step):
            return found[0]
        begin, step = begin + step, step * 2
    return None


def last_due(cron: str, zone: str, now: datetime, within: timedelta) -> datetime | None:
    """The newest moment that has come in this time; None where none has."""
    return next(reversed(due_between(cron, zone, now - within, now)), None)


def _moment(wall: datetime, place: ZoneInfo) -> datetime:
    found = wall.replace(tzinfo=place).astimezone(UTC)
    if found.astimezone(place).replace(tzinfo=None) != wall:  # in the hour that is left out
        found = wall.replace(tzinfo=place, fold=1).astimezone(UTC)
        before = wall.replace(tzinfo=place, fold=0).utcoffset()
        after = wall.replace(tzinfo=place, fold=1).utcoffset()
        assert before is not None and after is not None
        return _edge(found, abs(after - before), place)
    return found


def _edge(moment: datetime, gap: timedelta, place: ZoneInfo) -> datetime:
    """The first moment after the change of the clock that is within `gap` of this one."""
    low, high = moment - gap, moment + gap
    offset = low.astimezone(place).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        low, high = (middle, high) if middle.astimezone(place).utcoffset() == offset else (low, middle)
    return high.replace(microsecond=0)
