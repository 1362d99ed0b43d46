"""The log files that supervisord writes for its processes: their tail, what is new in them, merged by time."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from opsbook.connectors.blocking import on_thread
from opsbook.connectors.log_lines import written_at
from opsbook.connectors.runtimes.contract import LogLine, LogQuery
from opsbook.connectors.tails import DAWN, MOST_BYTES, tail

LOOK_SECONDS = 0.3
LONGEST_LINE = 8000
LOOK_BACK = 200
"""Lines that are read at least, to find the time of the ones that are wanted."""


@dataclass(frozen=True)
class LogFile:
    """A file of one instance."""

    instance: str
    path: Path


async def read_logs(files: list[LogFile], query: LogQuery, now: datetime) -> list[LogLine]:
    """The lines that are asked for, of all files, in the order of their times."""
    found = [await on_thread(("log", file.path, query), _lines_of, file, query, now) for file in files]
    merged = heapq.merge(*found, key=lambda pair: pair[0])
    lines = [line for _, line in merged]
    return lines[-query.tail :] if query.tail is not None and query.tail >= 0 else lines


async def follow_logs(files: list[LogFile], query: LogQuery, now: datetime) -> AsyncIterator[LogLine]:
    """The lines that are there, then new ones as they come, until nobody wants more."""
    places = {file: await on_thread(("size", file.path), _size, file.path) for file in files}
    for line in await read_logs(files, query, now):
        yield line
    while True:
        for file in files:
            text, places[file] = await on_thread(("new", file.path), _new_text, file.path, places[file])
            for raw in text.splitlines():
                if query.contains in raw:
                    yield LogLine(file.instance, raw[:LONGEST_LINE], written_at(raw, datetime.now(UTC)))
        await asyncio.sleep(LOOK_SECONDS)


def _lines_of(file: LogFile, query: LogQuery, now: datetime) -> list[tuple[datetime, LogLine]]:
    """Lines with a key that orders them: a line without a time belongs to the one before, the first to the next; lines
    of a file without any times were written when the file was."""
    few = query.tail if query.since is None and not query.contains else None
    lines = tail(file.path, None if few is None else max(few, LOOK_BACK))
    times = [written_at(line, now) for line in lines]
    last = next(filter(None, times), None) or _modified(file.path)
    wanted: deque[tuple[datetime, LogLine]] = deque(maxlen=query.tail)
    for line, at in zip(lines, times, strict=True):
        last = at or last
        if query.contains in line and (query.since is None or last >= query.since):
            wanted.append((last, LogLine(file.instance, line[:LONGEST_LINE], at)))
    return list(wanted)


def _modified(path: Path) -> datetime:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return DAWN


def _size(path: Path) -> tuple[int, int]:
    try:
        known = path.stat()
    except OSError:
        return 0, 0
    return known.st_ino, known.st_size


def _new_text(path: Path, place: tuple[int, int]) -> tuple[str, tuple[int, int]]:
    """What was written since, up to the last whole line. A new or shortened file is read from its start."""
    inode, position = place
    now_inode, size = _size(path)
    if now_inode != inode or size < position:
        position = 0
    if size <= position:
        return "", (now_inode, position)
    with path.open("rb") as file:
        file.seek(position)
        data = file.read(min(size - position, MOST_BYTES))
    whole = data.rfind(b"\n") + 1
    return data[:whole].decode("utf-8", errors="replace"), (now_inode, position + whole)


def lines_of_text(instance: str, text: str, query: LogQuery, now: datetime) -> Iterator[LogLine]:
    """Lines of a tail that came over the wire; its first line is cut, so that it is left out."""
    for raw in text.splitlines()[1:]:
        at = written_at(raw, now)
        if query.contains in raw and (query.since is None or (at is not None and at >= query.since)):
            yield LogLine(instance, raw[:LONGEST_LINE], at)
