"""Clocks are passed in, never read inside a pure core."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Aware UTC; a fake one drives every test that waits."""

    def now(self) -> datetime: ...
    def monotonic(self) -> float: ...
    async def sleep_until(self, moment: datetime) -> None: ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep_until(self, moment: datetime) -> None:
        # In slices, because the wall clock may be set while this waits.
        while (left := (moment - self.now()).total_seconds()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left, 30))
