"""Keys of a book that this version accepts and does not act on yet. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from opsbook.book.model import ACTS_BESIDE, INACTIVE
from opsbook.book.positions import Path


def inactive_keys(data: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """The path and the reason of each that the book uses; a key that many entries have is told once."""
    for pattern, reason in INACTIVE.items():
        beside = ACTS_BESIDE.get(pattern, "")
        for path in _paths(data, pattern.split("."), ()):
            if beside and _at(data, (*path[:-1], beside)):
                continue
            yield path, reason
            break


def _at(data: Any, path: Path) -> Any:
    for part in path:
        data = data.get(part) if isinstance(data, Mapping) else data[int(part)]
    return data


def _paths(data: Any, pattern: list[str], path: Path) -> Iterator[Path]:
    if not pattern:
        if data not in (None, [], {}):
            yield path
        return
    part, rest = pattern[0], pattern[1:]
    if part != "*":
        if isinstance(data, Mapping) and part in data:
            yield from _paths(data[part], rest, (*path, part))
    elif isinstance(data, Mapping):
        for key, inner in data.items():
            yield from _paths(inner, rest, (*path, key))
    elif isinstance(data, list):
        for n, inner in enumerate(data):
            yield from _paths(inner, rest, (*path, n))
