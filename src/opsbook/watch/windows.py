"""Maintenance windows: announced before, opened, worked, closed; a reminder where one takes longer than it was to.

What was decided is in rows, one for each time that a window comes: a watch that starts again goes on from them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from opsbook.engine.access import watch_actor
from opsbook.engine.windows import Occurrence, occurrences
from opsbook.store import windows as store
from opsbook.store.database import reading
from opsbook.store.windows import Came
from opsbook.watch import window_acts
from opsbook.watch.contract import Watch, soonest
from opsbook.watch.registry import part
from opsbook.watch.silences import here
from opsbook.watch.waking import wake
from opsbook.watch.window_acts import planned, written
from opsbook.watch.window_work import Progress, advance, entered

LOOK = timedelta(seconds=5)
"""How often the work of an open window is looked at."""
REST = timedelta(minutes=1)
"""How often it is looked whether the book has other windows."""
BACK = timedelta(days=1)
PATIENCE = 2.0
"""Seconds that a tick waits for the work of windows; what takes longer goes on beside the next."""
LONGEST = 120.0
"""Seconds after which a look at a window is given up, and begun anew."""

__all__ = ["Windows", "occurrences"]


@part
class Windows:
    """Begins and ends the windows of one environment."""

    name = "windows"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._carried: dict[tuple[str, float], asyncio.Task[None]] = {}
        """Windows whose work is being looked at."""

    async def tick(self, now: datetime) -> datetime:
        system = self.watch.system
        coming = planned(system, now, now + self._horizon())
        rows = await self.watch.setting.in_writer(self._rows)
        await self._write(self._decided(coming, rows, now))
        going = [row for row in await self.watch.setting.in_writer(self._rows) if row.open]
        await self._carry_all(going, now)
        marks = [one.start for one in coming] + [one.start - self._notice(one) for one in coming]
        return soonest([one for one in marks if one > now], now + (LOOK if going else REST))

    async def _carry_all(self, going: Sequence[Came], now: datetime) -> None:
        """Side by side. One whose servers do not answer is gone on with beyond this tick, and holds no other."""
        for row in going:
            if (row.window, row.start) not in self._carried:
                self._carried[row.window, row.start] = asyncio.create_task(self._bounded(row, now))
        if self._carried:
            await asyncio.wait(self._carried.values(), timeout=PATIENCE)
        ended = [(key, task) for key, task in self._carried.items() if task.done()]
        for key, _ in ended:
            del self._carried[key]
        for _, task in ended:
            task.result()

    async def _bounded(self, row: Came, now: datetime) -> None:
        try:
            async with asyncio.timeout(LONGEST):
                await self._carry(row, now)
        except TimeoutError:
            note = f"its work was not seen within {LONGEST:g} s; it is looked at again"
            where = here(self.watch.system)
            await self._write([lambda connection: store.change(connection, where, row, note=note)])

    async def close(self) -> None:
        """Give up what is being looked at."""
        tasks = list(self._carried.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._carried.clear()

    def _rows(self) -> list[Came]:
        with reading(self.watch.setting.store) as connection:
            since = (self.watch.setting.clock.now() - BACK).timestamp()
            return store.came(connection, here(self.watch.system), since=since)

    async def _write(self, writes: list[Callable[[Connection], object]]) -> None:
        if writes:
            await self.watch.setting.in_writer(lambda: self.watch.setting.write(writes))
            wake()

    def _decided(
        self, coming: list[Occurrence], rows: list[Came], now: datetime
    ) -> list[Callable[[Connection], object]]:
        """What is to be written: windows that are announced, that begin, and that no longer come."""
        system, known = self.watch.system, {(row.window, row.start): row for row in rows}
        writes: list[Callable[[Connection], object]] = []
        for one in coming:
            row = known.get((one.window, one.start.timestamp()))
            if one.holds(now) and (row is None or row.state == "noticed"):
                writes.append(partial(window_acts.begin, system=system, one=one, now=now))
            elif row is None and one.start > now and one.start - self._notice(one) <= now and self._notice(one):
                writes.append(partial(window_acts.announce, system=system, one=one, now=now))
        still = {(one.window, one.start.timestamp()) for one in coming}
        for row in rows:
            if row.state != "noticed" or (row.window, row.start) in still or row.author:
                continue
            why = "the book plans it no more" if row.until > now.timestamp() else "nothing ran that could begin it"
            writes.append(partial(window_acts.drop, system=system, row=row, why=why, now=now))
        return writes

    async def _carry(self, row: Came, now: datetime) -> None:
        found = await advance(self.watch, row, now)
        system, actor = self.watch.system, watch_actor(f"window {row.window}")
        if found.done:
            await self._write([lambda connection: window_acts.close(connection, system, actor, row, now)])
            return
        writes: list[Callable[[Connection], object]] = []
        if found.trouble and found.trouble != row.note:
            writes.append(
                lambda connection: window_acts.trouble(connection, system, row, found.key, found.trouble, now)
            )
        elif (found.waits or found.trouble) != row.note or found.runs != row.run:
            values = {"note": found.trouble or found.waits, "run": found.runs}
            writes.append(lambda connection: store.change(connection, here(system), row, **values))
        if found.given_up and now.timestamp() >= row.until and not await self._entered(row, now):
            # Users are in, and nothing goes on: there is nothing that a longer window would be for.
            writes = [lambda connection: window_acts.close(connection, system, actor, row, now, found.trouble)]
        else:
            writes += self._late(row, found, now)
        await self._write(writes)

    async def _entered(self, row: Came, now: datetime) -> bool:
        return await self.watch.setting.in_writer(lambda: entered(self.watch, row, now))

    def _late(self, row: Came, found: Progress, now: datetime) -> list[Callable[[Connection], object]]:
        """What is written of a window that takes longer than it was to, or than maintenance should."""
        system, longest = self.watch.system, self.watch.system.model.maintenance.longest
        why = found.trouble or found.waits
        last = datetime.fromtimestamp(row.reminded_at or row.opened_at or row.start, UTC)
        late = now.timestamp() >= row.until
        writes: list[Callable[[Connection], object]] = []
        if (late and row.state != "overrun") or now - last >= longest:
            writes.append(lambda connection: window_acts.remind(connection, system, row, why, now))
        if late and row.state != "overrun":
            writes.append(lambda connection: window_acts.overrun(connection, system, row, why, now))
        return writes

    def _notice(self, one: Occurrence) -> timedelta:
        window = written(self.watch.system, one.window)
        return (window.notice if window else None) or timedelta(0)

    def _horizon(self) -> timedelta:
        notices = [one.notice for one in self.watch.system.model.windows if one.notice]
        return max([*notices, timedelta(days=1)]) + timedelta(hours=1)
