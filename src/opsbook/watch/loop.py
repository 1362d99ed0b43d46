"""The loop of the watch: calls every part when it is due, each in a task of its own, until it is told to stop.

A part that cannot do its work (the store is gone, a server does not answer) is called again a little later; the others
go on. Of several processes on one PostgreSQL one at a time runs the parts: the leader.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from opsbook.errors import OpsbookError
from opsbook.store.database import StoreFailed
from opsbook.watch.contract import Part, Standing, Watch
from opsbook.watch.waking import Bell

log = logging.getLogger(__name__)

SHORTEST = 0.05
"""Seconds between two ticks of a part at least: a part that is always due must not keep the processor busy."""
AT_ONCE = 10
"""Ticks of a part out of turn, because it was woken, that need not be so far apart: a fault that comes alone must not
wait, and a storm may."""
LONGEST = 30.0
"""Seconds between two ticks at most: the clock may be set back, and a tick that is too early does nothing."""
AGAIN = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds until a part that failed is called again: the first time, the second …"""
LOG_EVERY = 60.0
"""Seconds between two lines about the same part that fails."""


class Saved:
    """Ticks out of turn that a part may have at once: one more every `SHORTEST` seconds, `AT_ONCE` at most."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds, self._at, self._left = seconds, seconds(), float(AT_ONCE)

    def spend(self) -> float:
        """Take one; how many seconds it must wait."""
        now = self._seconds()
        self._left = min(float(AT_ONCE), self._left + max(0.0, now - self._at) / SHORTEST) - 1.0
        self._at = now
        return max(0.0, -self._left * SHORTEST)


@dataclass
class Loop:
    """The parts of one watch, running."""

    watch: Watch
    parts: Sequence[Part]
    leads: Callable[[], bool] = lambda: True
    """Whether this process does what one must do. Asked before every tick."""
    _told: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.watch.standings |= {part.name: Standing(part.name) for part in self.parts}

    async def run(self, stop: asyncio.Event) -> None:
        """Call the parts until `stop` is set. A tick that is under way is cut off then: it can be done again.

        A part that holds something open has a `close`.
        """
        bell = Bell()
        try:
            tasks = [asyncio.create_task(self._carry(part, bell), name=f"watch {part.name}") for part in self.parts]
            ended = asyncio.create_task(stop.wait())
            await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
                    raise outcome
        finally:
            bell.close()
            for part in self.parts:
                if close := getattr(part, "close", None):
                    await close()

    async def _carry(self, part: Part, bell: Bell) -> None:
        saved = Saved(self.watch.setting.clock.monotonic)
        while True:
            heard = bell.rings(part.name)
            wait = await self.tick(part) if self.leads() else AGAIN[0]
            if await bell.wait(wait, heard, part.name):
                await asyncio.sleep(saved.spend())

    async def tick(self, part: Part) -> float:
        """Call a part once; how many seconds later it wants to be called again."""
        clock, standing = self.watch.setting.clock, self.watch.standings[part.name]
        now, started = clock.now(), clock.monotonic()
        standing.lag = max(0.0, (now - standing.due).total_seconds()) if standing.due else 0.0
        standing.ticks, standing.ticked_at = standing.ticks + 1, now
        try:
            due = await part.tick(now)
        except asyncio.CancelledError:
            # Told to end it does; what only a thing that it waited for met is no end of the watch.
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            return self._failed(standing, "something that it waited for was cancelled")
        except StoreFailed as error:
            self.watch.outage.met(error)
            self._told[standing.name] = time.monotonic()  # told of all parts at once
            return self._failed(standing, error.message)
        except OpsbookError as error:
            return self._failed(standing, error.message)
        except Exception as error:  # the edge: a fault in one part must not end the watch
            wait = self._failed(standing, f"a fault of opsbook itself: {type(error).__name__}: {error}")
            if standing.failed == 1:
                log.exception("the part %s of the watch", part.name)
            return wait
        if standing.failed:
            log.info("%s goes on", part.name)
            self.watch.outage.over()
        standing.failed, standing.error = 0, ""
        standing.seconds = clock.monotonic() - started
        wait = min(max((due - clock.now()).total_seconds(), SHORTEST), LONGEST)
        standing.due = clock.now() + timedelta(seconds=wait)
        return wait

    def _failed(self, standing: Standing, why: str) -> float:
        standing.failed, standing.error, standing.due = standing.failed + 1, why, None
        now = time.monotonic()
        if now - self._told.get(standing.name, -LOG_EVERY) >= LOG_EVERY:
            self._told[standing.name] = now
            log.error("%s: %s", standing.name, why)
        return AGAIN[min(standing.failed, len(AGAIN)) - 1]
