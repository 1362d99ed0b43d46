"""When a cron line is due, in a time zone. Pure.

A line says wall-clock times. In the night when an hour is left out, what falls into it comes right after it; in the
night when an hour comes twice, it comes the first time only. A line for every hour follows the time that passes: it
comes in both.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

MOST = 1_000
"""Moments that are looked at: of a line that was due more often, the newest."""
FOLD = timedelta(hours=3)
"""More than any clock is ever put forward or back."""
LONGEST = timedelta(days=5 * 366)
"""A line that is not due for longer than this never is (the 30th of February)."""


def between(cron: str, zone: str, after: datetime, until: datetime) -> list[datetime]:
    """The moments after the one and up to the other at which a line is due, as UTC, oldest first; the newest `MOST`."""
    found = set()
    place = ZoneInfo(zone)
    earliest = _wall(after, place) - FOLD
    for wall in islice(_walls(cron, _wall(until, place) + FOLD, forwards=False), MOST):
        if wall < earliest:
            break
        found |= {one for one in _moments(cron, wall, place) if after < one <= until}
    return sorted(found)


def first_after(cron: str, zone: str, after: datetime) -> datetime | None:
    """The next moment, as UTC; None where there is none within five years."""
    place = ZoneInfo(zone)
    best: datetime | None = None
    for wall in islice(_walls(cron, _wall(after, place) - FOLD, forwards=True), MOST):
        later = [one for one in _moments(cron, wall, place) if one > after]
        best = min([*later, *([best] if best else [])], default=None)
        if best is not None and wall > _wall(best, place) + FOLD:
            break
        if wall > _wall(after, place) + LONGEST:
            break
    return best


def _walls(cron: str, start: datetime, *, forwards: bool):  # type: ignore[no-untyped-def]
    from croniter import CroniterBadDateError, croniter

    found = croniter(cron, start, ret_type=datetime)
    while True:
        try:
            yield found.get_next() if forwards else found.get_prev()
        except CroniterBadDateError:
            return


def _moments(cron: str, wall: datetime, zone: ZoneInfo) -> set[datetime]:
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    # In the hour that is left out the second is before the first, and neither is that wall-clock time.
    return {first, second} if second > first and cron.split()[1].startswith("*") else {first}


def _wall(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)
