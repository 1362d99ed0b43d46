"""What a change of a text file would change in it, for the eyes of whoever approves it."""

from __future__ import annotations

import difflib
from itertools import islice

from opsbook.book.references import hide_password

MOST_LINES = 60
LONGEST_LINE = 1_000
LARGEST = 256 * 1024
"""Characters of a text that is compared: the time of a comparison grows with the square of its lines."""


def text_difference(before: str, after: str) -> list[str]:
    """A unified diff without its file names, bounded; nothing where they are the same. Passwords are hidden."""
    if before == after:
        return []
    if max(len(before), len(after)) > LARGEST:
        return [f"too large to be compared: {len(before):,} characters now, {len(after):,} then"]
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2)
    told = [_bounded(line) for line in islice(lines, 2, None)] or ["only its line breaks change"]
    more = len(told) - MOST_LINES
    return [*told[:MOST_LINES], f"… {more:,} more lines"] if more > 0 else told


def _bounded(line: str) -> str:
    """Not cut: half a password would not be recognized as one."""
    if len(line) > LONGEST_LINE:
        return f"{line[:1]}a line of {len(line) - 1:,} characters"
    return hide_password(line)
