"""The results of checks as they are stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from sse_starlette import ServerSentEvent

from opsbook.api.doors import Visit
from opsbook.api.streams import LOOK_SECONDS, event
from opsbook.store import history
from opsbook.store.database import reading

AT_ONCE = 500


async def states(visit: Visit, after: int | None) -> AsyncIterator[ServerSentEvent]:
    """Every result with an id above `after`; without one, first the newest of each check. Never ends."""
    last = after or 0
    if after is None:
        last, first = await asyncio.to_thread(_newest, visit)
        for point in first:
            yield event("result", str(last), vars(point))
    while True:
        found = await asyncio.to_thread(_after, visit, last)
        for last, point in found:
            yield event("result", str(last), vars(point))
        if len(found) < AT_ONCE:
            # Nothing is sent: whoever carries this looks whether it may go on.
            yield ServerSentEvent()
            await asyncio.sleep(LOOK_SECONDS)


def _newest(visit: Visit) -> tuple[int, list[history.Point]]:
    with reading(visit.setting.store) as connection:
        last = history.last_id(connection, *visit.here)
        found = history.newest_of(connection, *visit.here, [check.id for check in visit.known.checks])
    return last, list(found.values())


def _after(visit: Visit, after: int) -> list[tuple[int, history.Point]]:
    with reading(visit.setting.store) as connection:
        return history.after(connection, *visit.here, after, AT_ONCE)
