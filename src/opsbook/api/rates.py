"""Token buckets: so many requests a second, and some saved up for a burst. Pure but for its table."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

MOST_ASKERS = 10_000
"""Buckets that are kept; the one that was used longest ago goes first. A full one says the same as none."""


class Rates:
    """A bucket for each asker. `clock` is in seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._guard = threading.Lock()

    def wait(self, asker: str, rate: float, burst: float) -> float:
        """Take one; zero where there was one, else the seconds until there is."""
        with self._guard:
            now = self._clock()
            left, since = self._buckets.pop(asker, (burst, now))
            left = min(burst, left + max(0.0, now - since) * rate)
            taken = left >= 1.0
            self._buckets[asker] = (left - 1.0 if taken else left, now)
            while len(self._buckets) > MOST_ASKERS:
                self._buckets.popitem(last=False)
            return 0.0 if taken else (1.0 - left) / rate
