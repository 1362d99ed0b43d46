"""The part that makes five-minute and hourly figures of single results."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from opsbook.store import rollups as store
from opsbook.store.database import reading
from opsbook.watch.contract import Watch
from opsbook.watch.registry import part

LATE = timedelta(seconds=45)
"""After the end of five minutes: until then answers of slow components may still come in."""
AT_ONCE = 24 * 3600.0
"""Seconds of results that one transaction rolls up: catching up must not hold the store for long."""


def stretches(start: float, end: float, longest: float) -> Iterator[tuple[float, float]]:
    """A time in parts of at most this length."""
    while start < end:
        yield start, min(start + longest, end)
        start += longest


@part
class Rollups:
    """Rolls up what is complete since the last time, however long ago that was."""

    name = "rollups"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    async def tick(self, now: datetime) -> datetime:
        await self._roll_up(now)
        begun = math.floor(now.timestamp() / store.FIVE_MINUTES) * store.FIVE_MINUTES
        return datetime.fromtimestamp(begun + store.FIVE_MINUTES, UTC) + LATE

    async def _roll_up(self, now: datetime) -> None:
        end = _floor((now - LATE).timestamp(), store.FIVE_MINUTES)
        done, first = await asyncio.to_thread(self._reach)
        if first is None:
            return
        # The last one is made again: what was stored late is in it then.
        start = max(_floor(first, store.FIVE_MINUTES), (done or 0.0) - store.FIVE_MINUTES)
        for begin, until in stretches(start, end, AT_ONCE):
            await self._write(begin, until)

    def _reach(self) -> tuple[float | None, float | None]:
        """Until when it is rolled up, and from when there are results."""
        with reading(self.watch.setting.store) as connection:
            done = store.rolled_until(connection, self.watch.where, store.FIVE_MINUTES)
            return done, store.oldest_result(connection, self.watch.where)

    async def _write(self, begin: float, until: float) -> None:
        where = self.watch.where

        def write(connection: Connection) -> None:
            store.roll_up(connection, where, begin, until)
            hour = _floor(begin, store.HOUR)
            store.roll_up_hours(connection, where, hour, _floor(until, store.HOUR) + store.HOUR)

        await self.watch.setting.in_writer(lambda: self.watch.setting.write([write]))


def _floor(seconds: float, span: int) -> float:
    return float(math.floor(seconds / span) * span)
