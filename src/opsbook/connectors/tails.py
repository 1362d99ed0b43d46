"""The ends of log files: read backwards, bounded, so that a log of gigabytes costs as much as is asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from opsbook.connectors.log_lines import written_at

MOST_BYTES = 16 * 2**20
"""Read of one log at most, from its end; a day of a busy API is larger, and nobody reads it line by line."""
BLOCK = 65536
DAWN = datetime.min.replace(tzinfo=UTC)


def tail(path: Path, lines: int | None, most: int = MOST_BYTES) -> Sequence[str]:
    """The last lines of a log and of the one it was rotated from; all that is read of them where `lines` is None."""
    found: list[str] = []
    for one in (path, path.with_name(path.name + ".1")):
        part, read = _last_lines(one, most, None if lines is None else lines - len(found))
        found = part + found
        most -= read
        if most <= 0 or (lines is not None and len(found) >= lines):
            break
    return found if lines is None else found[max(0, len(found) - lines) :]


def lines_since(path: Path, since: datetime, now: datetime, most: int = MOST_BYTES) -> list[str]:
    """The lines of one file that were written since. A line without a time belongs to the one before; a file without
    any times counts as written when it was written last."""
    found, last, timed = [], DAWN, False
    lines = _last_lines(path, most, None)[0]
    for line in lines:
        at = written_at(line, now)
        last, timed = at or last, timed or at is not None
        if last >= since:
            found.append(line)
    return found if timed else lines


def _last_lines(path: Path, most: int, lines: int | None) -> tuple[list[str], int]:
    blocks: list[bytes] = []
    read = newlines = 0
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            while end > 0 and read < most and (lines is None or newlines <= lines):
                size = min(end, BLOCK)
                end -= size
                file.seek(end)
                blocks.append(file.read(size))
                read += size
                newlines += blocks[-1].count(b"\n")
    except OSError:
        return [], 0  # no such log yet, or rotated away this moment
    text = b"".join(reversed(blocks)).decode("utf-8", errors="replace").splitlines()
    return (text if end == 0 else text[1:]), read
