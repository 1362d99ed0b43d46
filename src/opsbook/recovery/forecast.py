"""When growth breaks a promise: recovery takes longer as data grows. Pure: sizes, seconds and times are arguments."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

MEASUREMENTS = 3
"""Fewer tell no line."""
SPAN = timedelta(days=3)
"""Sizes of less time tell no growth: a day has its own rhythm."""
HORIZON = timedelta(days=5 * 365)
"""Further away is no forecast any more."""


@dataclass(frozen=True)
class Forecast:
    """When recovery will take longer than promised, if data grows as it has."""

    growth: float
    """Bytes a day."""
    seconds_now: float
    """That recovery would take at the newest size."""
    missed_at: datetime | None
    """None: not within five years."""


def forecast(
    sizes: Sequence[tuple[datetime, float]], recoveries: Sequence[tuple[float, float]], promise: timedelta
) -> Forecast | None:
    """From sizes over time and (bytes, seconds) of recoveries. None where they do not tell.

    Growth is the median slope over all pairs (Theil and Sen), so that one odd day does not count. The seconds a byte
    are the worst that was measured: a forecast must not be rosier than the drills were.
    """
    known = sorted(sizes)
    if len(known) < MEASUREMENTS or not recoveries or known[-1][0] - known[0][0] < SPAN:
        return None
    newest_at, newest = known[-1]
    per_byte = max((seconds / size for size, seconds in recoveries if size > 0), default=0.0)
    if per_byte <= 0 or newest <= 0:
        return None
    growth = statistics.median(
        (later - earlier) / ((at - before) / timedelta(days=1))
        for n, (before, earlier) in enumerate(known)
        for at, later in known[n + 1 :]
        if at > before
    )
    now = per_byte * newest
    left = promise.total_seconds() - now
    if left <= 0:
        return Forecast(growth, now, newest_at)
    if growth <= 0:
        return Forecast(growth, now, None)
    days = left / (per_byte * growth)
    far = days > HORIZON / timedelta(days=1)
    return Forecast(growth, now, None if far else newest_at + timedelta(days=days))
