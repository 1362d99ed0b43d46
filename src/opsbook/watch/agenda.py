"""What is due next, of thousands of things: a heap, so that looking costs nothing while nothing is. Pure."""

from __future__ import annotations

import heapq
from datetime import datetime


class Agenda:
    """Names and when they are due; each has one moment, the last that was put."""

    def __init__(self) -> None:
        self._moments: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []

    def put(self, name: str, at: datetime) -> None:
        """It is due then, and no longer when it was before."""
        self._moments[name] = at
        heapq.heappush(self._heap, (at, name))

    def take(self, now: datetime) -> list[str]:
        """Those that are due, which have no moment afterwards, the one that waits longest first."""
        taken = []
        while self._top() is not None and self._heap[0][0] <= now:
            _, name = heapq.heappop(self._heap)
            del self._moments[name]
            taken.append(name)
        return taken

    def next(self) -> datetime | None:
        """When the first one is due."""
        return self._top()

    def _top(self) -> datetime | None:
        # What was put again stands further down once more; its old place says nothing.
        while self._heap and self._moments.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
