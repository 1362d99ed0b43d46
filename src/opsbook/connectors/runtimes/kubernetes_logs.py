"""Logs of all pods of a workload, merged by time. Held in memory: one line of each pod, or `tail` of them.

A pod whose kubelet does not answer (its node is away) is told in a line of its own, and the others are read.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from opsbook.connectors.runtimes.contract import LogLine, LogQuery
from opsbook.connectors.runtimes.kubernetes_api import ApiFault, Query
from opsbook.connectors.runtimes.kubernetes_pods import Pod
from opsbook.errors import OpsbookError, Unreachable

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

LONGEST_LINE = 8000
DAWN = datetime.min.replace(tzinfo=UTC)
AT_ONCE = 40
"""Streams that are open at the same time while a tail is read."""
LOOK_SECONDS = 2.0
"""After which pods that are new join those that are followed."""
QUEUE = 1000
NO_LINES = "unable to retrieve container logs for "
"""What the kubelet writes into the log itself, where a container has been removed."""

Dated = tuple[datetime, LogLine]
"""A line, and the time by which it stands among others: its own, else that of the line before."""


@dataclass(frozen=True)
class Source:
    """One container of one pod."""

    pod: str
    container: str
    label: str


def sources(pods: list[Pod], only: str = "") -> list[Source]:
    """The containers whose lines are wanted: all of each pod, unless the book names one."""
    found = []
    for pod in pods:
        names = [name for name in pod.images if not only or name == only]
        found += [Source(pod.name, name, pod.name if len(names) == 1 else f"{pod.name}/{name}") for name in names]
    return found


@dataclass
class Reading:
    """What was met while several sources were read."""

    places: dict[Source, datetime] = field(default_factory=dict)
    """The time of the newest line of each that was read, by the clock of its node."""
    missing: dict[Source, Unreachable] = field(default_factory=dict)

    def told(self, wanted: Sequence[Source]) -> list[LogLine]:
        """One line for each pod that is missing. Raises Unreachable where every source is."""
        if wanted and all(source in self.missing for source in wanted):
            raise self.missing[wanted[0]]
        pods = {source.pod: error.message for source, error in self.missing.items()}
        return [LogLine(pod, f"its lines cannot be had: {why}", missing=True) for pod, why in pods.items()]


async def read_logs(runtime: Kubernetes, workload: str, query: LogQuery) -> AsyncIterator[LogLine]:
    """The lines that are there, then what is missing.

    Raises ApiFault where this credential may not read them, Unreachable where no pod's lines can be had.
    """
    wanted, reading = sources(await runtime.pods(workload), runtime.container(workload)), Reading()
    async for line in _present(runtime, wanted, query, reading):
        yield line


async def _present(
    runtime: Kubernetes, wanted: list[Source], query: LogQuery, reading: Reading
) -> AsyncIterator[LogLine]:
    if query.tail is not None:
        for line in await _tails(runtime, wanted, query, reading):
            yield line
    else:
        async with AsyncExitStack() as stack:
            streams = [
                await stack.enter_async_context(aclosing(_told(runtime, source, query, reading))) for source in wanted
            ]
            async for line in _merged(streams):
                yield line
    for line in reading.told(wanted):
        yield line


async def _tails(runtime: Kubernetes, wanted: list[Source], query: LogQuery, reading: Reading) -> list[LogLine]:
    """The newest lines of all: no more than `tail` of one pod can be among them."""
    places = asyncio.Semaphore(AT_ONCE)

    async def of(source: Source) -> list[Dated]:
        kept: deque[Dated] = deque(maxlen=query.tail)
        async with places:
            async for pair in _told(runtime, source, query, reading):
                kept.append(pair)
        return list(kept)

    found = await asyncio.gather(*(of(source) for source in wanted))
    lines = [line for _, line in heapq.merge(*found, key=lambda pair: pair[0])]
    return lines[-query.tail :] if query.tail else []


async def _merged(streams: Sequence[AsyncIterator[Dated]]) -> AsyncIterator[LogLine]:
    # All of them end before an error is raised: a stream that still works cannot be closed.
    first = await asyncio.gather(*(anext(stream, None) for stream in streams), return_exceptions=True)
    heap = []
    for n, pair in enumerate(first):
        if isinstance(pair, BaseException):
            raise pair
        if pair is not None:
            heap.append((pair[0], n, pair[1]))
    heapq.heapify(heap)
    while heap:
        _, n, line = heap[0]
        yield line
        following = await anext(streams[n], None)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following[0], n, following[1]))


async def _told(runtime: Kubernetes, source: Source, query: LogQuery, reading: Reading) -> AsyncGenerator[Dated, None]:
    """Its lines; where they cannot be had, or no further, it is noted as missing."""
    try:
        async with aclosing(_lines(runtime, source, query, reading)) as lines:
            async for pair in lines:
                yield pair
    except Unreachable as error:
        reading.missing[source] = error


async def _lines(runtime: Kubernetes, source: Source, query: LogQuery, reading: Reading) -> AsyncGenerator[Dated, None]:
    path = runtime.namespace.core("pods", source.pod, "log")
    try:
        async with runtime.api.lines(path, asked_of(source, query), query.follow) as lines:
            last = DAWN
            async for raw in lines:
                if raw.startswith(NO_LINES):
                    continue
                line = read_line(source, raw)
                last = line.at or last
                reading.places[source] = max(last, reading.places.get(source, DAWN))
                if query.contains in line.text:
                    yield last, line
    except ApiFault as error:
        # A container that has not begun, or a pod that has gone, has no lines.
        if error.code not in (400, 404):
            raise


def asked_of(source: Source, query: LogQuery) -> Query:
    """The query of one container's log. Lines that are searched cannot be cut off by the server."""
    asked: dict[str, str | int | list[str]] = {"container": source.container, "timestamps": "true"}
    if query.tail is not None and not query.contains:
        asked["tailLines"] = query.tail
    if query.since is not None:
        asked["sinceTime"] = query.since.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if query.follow:
        asked["follow"] = "true"
    if query.previous:
        asked["previous"] = "true"
    return asked


def read_line(source: Source, raw: str) -> LogLine:
    """A line with the time at which the runtime took it (RFC 3339, nanoseconds)."""
    stamp, space, text = raw.partition(" ")
    if not space or len(stamp) < 20 or stamp[4] != "-":
        return LogLine(source.label, raw[:LONGEST_LINE])
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    try:
        at = datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}+00:00")
    except ValueError:
        return LogLine(source.label, raw[:LONGEST_LINE])
    return LogLine(source.label, text[:LONGEST_LINE], at)


async def follow_logs(runtime: Kubernetes, workload: str, query: LogQuery) -> AsyncIterator[LogLine]:
    """The lines that are there, then new ones of every pod as they come; pods that are new join.

    Each source is followed from the last of its lines that was read: no clock but that of its node is asked.
    """
    wanted, reading = sources(await runtime.pods(workload), runtime.container(workload)), Reading()
    # One line of each is read even where none is to be shown: it says where the new ones begin.
    there = LogQuery(1) if query.tail == 0 else LogQuery(query.tail, query.since, contains=query.contains)
    async for line in _present(runtime, wanted, there, reading):
        if query.tail != 0 or line.missing:
            yield line
    queue = asyncio.Queue[LogLine | OpsbookError](QUEUE)
    followed: dict[Source, asyncio.Task[None]] = {}
    keeper = asyncio.create_task(_keep(runtime, workload, query, reading, followed, queue))
    try:
        while True:
            said = await queue.get()
            if isinstance(said, OpsbookError):
                raise said
            yield said
    finally:
        for task in (keeper, *followed.values()):
            task.cancel()
        await asyncio.gather(keeper, *followed.values(), return_exceptions=True)


async def _keep(
    runtime: Kubernetes,
    workload: str,
    query: LogQuery,
    reading: Reading,
    followed: dict[Source, asyncio.Task[None]],
    queue: asyncio.Queue[LogLine | OpsbookError],
) -> None:
    """Follow every pod that there is, until cancelled."""
    while True:
        try:
            now = sources(await runtime.pods(workload), runtime.container(workload))
        except Unreachable:
            now = []
        except OpsbookError as error:
            await queue.put(error)
            return
        for source in now:
            if source not in followed or followed[source].done():
                followed[source] = asyncio.create_task(_follow(runtime, source, query, reading, queue))
        for gone in [source for source, task in followed.items() if task.done() and source not in now]:
            del followed[gone]
        await asyncio.sleep(LOOK_SECONDS)


async def _follow(
    runtime: Kubernetes,
    source: Source,
    query: LogQuery,
    reading: Reading,
    queue: asyncio.Queue[LogLine | OpsbookError],
) -> None:
    """Its lines from where it was left; the server's time is whole seconds, so that older ones come once more."""
    after, asked = reading.places.get(source), beyond(source, query, reading)
    try:
        async with aclosing(_lines(runtime, source, asked, reading)) as lines:
            async for at, line in lines:
                if after is None or at > after:
                    await queue.put(line)
    except Unreachable:
        return  # it is taken up again at the next look
    except OpsbookError as error:
        await queue.put(error)


def beyond(source: Source, query: LogQuery, reading: Reading) -> LogQuery:
    """What is asked of a source that is followed: all beyond its place.

    One without a place had no lines yet, and what it writes now is new; one that could not be read shows as many as
    were asked for.
    """
    after = reading.places.get(source)
    if after is not None:
        return LogQuery(None, after, True, query.contains)
    return LogQuery(query.tail if source in reading.missing else None, query.since, True, query.contains)
