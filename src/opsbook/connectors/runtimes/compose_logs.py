"""Logs of the containers of a service, merged by time.

Following asks again for what is new, so that a container that is started anew, or made, is followed too, and no thread
hangs on a silent one.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from opsbook.connectors.runtimes.compose_api import NotThere
from opsbook.connectors.runtimes.compose_containers import LONGEST_WORDS, Container, moment
from opsbook.connectors.runtimes.contract import LogLine, LogQuery
from opsbook.connectors.tails import DAWN

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.compose import Compose
    from opsbook.connectors.runtimes.compose_api import ComposeApi

LOOK_SECONDS = 0.5
LONGEST_LINE = 8000
OVERLAP_SECONDS = 2
"""podman tells times of lines by the second: what is asked again begins before the last one known."""
LOG_SECONDS = 60.0


async def read_logs(api: ComposeApi, containers: Sequence[Container], query: LogQuery) -> list[LogLine]:
    """The lines that are asked for, of all containers, in the order of their times."""
    bare = query.since is None and not query.contains
    tail = query.tail if bare else None
    found = await asyncio.gather(*(_lines(api, one, query.since, tail) for one in containers))
    merged = heapq.merge(*found, key=lambda line: line.at or DAWN)
    lines = [line for line in merged if _wanted(line, query)]
    if query.tail is None or query.tail < 0:
        return lines
    return lines[-query.tail :] if query.tail else []


async def follow_logs(compose: Compose, workload: str, query: LogQuery) -> AsyncIterator[LogLine]:
    """The lines that are there, then new ones as they come, until nobody wants more."""
    begun = datetime.now(UTC)
    seen: dict[str, tuple[datetime, int]] = {}
    for one in await compose.containers(workload):
        lines = await _lines(compose.api, one, begun_before(begun), None)
        seen[one.id] = _place(lines, (begun_before(begun), 0))
    for line in await read_logs(compose.api, await compose.containers(workload), query):
        yield line
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        fresh: list[LogLine] = []
        for one in await compose.containers(workload):
            place = seen.get(one.id, (begun_before(begun), 0))
            lines = await _lines(compose.api, one, begun_before(place[0]), None)
            fresh += after(lines, place)
            seen[one.id] = _place(lines, place)
        for line in sorted(fresh, key=lambda line: line.at or DAWN):
            if _wanted(line, query):
                yield line


def begun_before(at: datetime) -> datetime:
    """A little earlier."""
    return datetime.fromtimestamp(at.timestamp() - OVERLAP_SECONDS, UTC)


def _place(lines: Sequence[LogLine], before: tuple[datetime, int]) -> tuple[datetime, int]:
    """The time of the last line, and how many lines have it."""
    if not lines or lines[-1].at is None:
        return before
    return lines[-1].at, sum(line.at == lines[-1].at for line in lines)


def after(lines: Sequence[LogLine], place: tuple[datetime, int]) -> list[LogLine]:
    """The lines beyond a place: later ones, and those of its time beyond the ones that were counted."""
    at, count = place
    same = [line for line in lines if line.at == at]
    return same[count:] + [line for line in lines if line.at is not None and line.at > at]


def _wanted(line: LogLine, query: LogQuery) -> bool:
    if query.contains not in line.text:
        return False
    return query.since is None or (line.at is not None and line.at >= query.since)


async def _lines(api: ComposeApi, one: Container, since: datetime | None, tail: int | None) -> list[LogLine]:
    """Of one container; none where it is gone meanwhile."""
    try:
        said = await api.call(
            "logs", one.id, stdout=True, stderr=True, timestamps=True, tail="all" if tail is None else tail,
            since=int(since.timestamp()) if since else None, deadline=LOG_SECONDS,
        )  # fmt: skip
    except NotThere:
        return []
    found, last = [], None
    for raw in said.decode("utf-8", errors="replace").splitlines():
        stamp, space, text = raw.partition(" ")
        at = moment(stamp) if space or stamp.endswith("Z") else None
        last = at or last
        found.append(LogLine(one.name, (text if at else raw)[:LONGEST_LINE], last))
    return found


async def last_words(api: ComposeApi, one: Container) -> str:
    """The last line that it wrote."""
    for line in reversed(await _lines(api, one, None, 5)):
        if line.text.strip():
            return line.text.strip()[:LONGEST_WORDS]
    return ""
