"""Logs of all pods of a workload, merged by time. Held in memory: one line of each pod, or `tail` of them."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
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


async def read_logs(runtime: Kubernetes, workload: str, query: LogQuery) -> AsyncIterator[LogLine]:
    """The lines that are there. Raises ApiFault where this credential may not read them."""
    wanted = sources(await runtime.pods(workload), runtime.container(workload))
    if query.tail is not None:
        for line in await _tails(runtime, wanted, query):
            yield line
        return
    async with AsyncExitStack() as stack:
        async for line in _merged([_lines(runtime, source, query, stack) for source in wanted]):
            yield line


async def _tails(runtime: Kubernetes, wanted: list[Source], query: LogQuery) -> list[LogLine]:
    """The newest lines of all: no more than `tail` of one pod can be among them."""
    places = asyncio.Semaphore(AT_ONCE)

    async def of(source: Source) -> list[tuple[datetime, LogLine]]:
        kept: deque[tuple[datetime, LogLine]] = deque(maxlen=query.tail)
        async with places, AsyncExitStack() as stack:
            async for pair in _lines(runtime, source, query, stack):
                kept.append(pair)
        return list(kept)

    found = await asyncio.gather(*(of(source) for source in wanted))
    lines = [line for _, line in heapq.merge(*found, key=lambda pair: pair[0])]
    return lines[-query.tail :] if query.tail else []


async def _merged(streams: list[AsyncIterator[tuple[datetime, LogLine]]]) -> AsyncIterator[LogLine]:
    first = await asyncio.gather(*(anext(stream, None) for stream in streams))
    heap = [(pair[0], n, pair[1]) for n, pair in enumerate(first) if pair is not None]
    heapq.heapify(heap)
    while heap:
        _, n, line = heap[0]
        yield line
        following = await anext(streams[n], None)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following[0], n, following[1]))


async def _lines(
    runtime: Kubernetes, source: Source, query: LogQuery, stack: AsyncExitStack
) -> AsyncIterator[tuple[datetime, LogLine]]:
    path = runtime.namespace.core("pods", source.pod, "log")
    try:
        lines = await stack.enter_async_context(runtime.api.lines(path, asked_of(source, query), query.follow))
        last = DAWN
        async for raw in lines:
            if raw.startswith(NO_LINES):
                continue
            line = read_line(source, raw)
            last = line.at or last
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
    """The lines that are there, then new ones of every pod as they come; pods that are new join."""
    for line in await _tails(runtime, sources(await runtime.pods(workload), runtime.container(workload)),
                             LogQuery(query.tail or 0, query.since, contains=query.contains)):  # fmt: skip
        yield line
    began, queue = datetime.now(UTC), asyncio.Queue[LogLine | OpsbookError](QUEUE)
    followed: dict[Source, asyncio.Task[None]] = {}
    keeper = asyncio.create_task(_keep(runtime, workload, query, began, followed, queue))
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
    began: datetime,
    followed: dict[Source, asyncio.Task[None]],
    queue: asyncio.Queue[LogLine | OpsbookError],
) -> None:
    """Follow every pod that there is, until cancelled."""
    seen: dict[Source, datetime] = {}
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
                followed[source] = asyncio.create_task(_follow(runtime, source, query, began, seen, queue))
        for gone in [source for source, task in followed.items() if task.done() and source not in now]:
            del followed[gone]
        await asyncio.sleep(LOOK_SECONDS)


async def _follow(
    runtime: Kubernetes,
    source: Source,
    query: LogQuery,
    began: datetime,
    seen: dict[Source, datetime],
    queue: asyncio.Queue[LogLine | OpsbookError],
) -> None:
    """Its lines from where it was left; the server's time is whole seconds, so that older ones come once more."""
    after = seen.get(source, began)
    asked = LogQuery(None, after, True, query.contains)
    try:
        async with AsyncExitStack() as stack:
            async for at, line in _lines(runtime, source, asked, stack):
                if at > after:
                    seen[source] = at
                    await queue.put(line)
    except Unreachable:
        return  # it is taken up again at the next look
    except OpsbookError as error:
        await queue.put(error)
