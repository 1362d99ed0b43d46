"""What of a broken book can still be judged, so that all its errors are told at once.

Values that do not fit are taken out, and where that leaves something incomplete, the whole of it. What remains is a
book, and what contradicts itself in it is told too.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from opsbook.book.explain import data_path
from opsbook.book.model import VERSION, BookModel
from opsbook.book.positions import Path

ROUNDS = 8
NEEDED: dict[str, Any] = {"opsbook": VERSION, "system": "unnamed", "environments": {"unnamed": {}}}
"""What stands in for keys of the book itself that are missing."""


class _Removed:
    """Stands where an entry of a list was, so that the others keep their places."""


REMOVED = _Removed()


@dataclass(frozen=True)
class Salvaged:
    """A book of what fits. `origin` tells where the entries of a section stood in the file."""

    model: BookModel
    origin: dict[str, list[int]]

    def path(self, path: Path) -> Path:
        """The path in the file of a path in the model."""
        return _in_file(path, self.origin)


def salvage(shape: type[BookModel], data: dict[str, Any], errors: Sequence[Path]) -> Salvaged | None:
    """The part of the data that fits the shape, or None where too little of it does."""
    data = copy.deepcopy(data)
    for _ in range(ROUNDS):
        for path in sorted(errors, key=len, reverse=True):
            if path:
                _remove(data, path)
        kept = {key: _without_removed(value) for key, value in data.items()}
        try:
            model = shape.model_validate(kept)
        except ValidationError as error:
            origin = _origin(data)
            found = [data_path(details["loc"], kept) for details in error.errors()]
            errors = [_in_file(path, origin) for path in found]
            continue
        return Salvaged(model, _origin(data))
    return None


def _in_file(path: Path, origin: dict[str, list[int]]) -> Path:
    if len(path) > 1 and isinstance(path[1], int) and str(path[0]) in origin:
        return (path[0], origin[str(path[0])][path[1]], *path[2:])
    return path


def _remove(data: dict[str, Any], path: Path) -> None:
    above: Any = data
    for part in path[:-1]:
        inside = part in above if isinstance(above, dict) else isinstance(above, list)
        above = above[part] if inside else None
    last = path[-1]
    if isinstance(above, dict) and last in above:
        del above[last]
        if len(path) == 1 and last in NEEDED:
            data[str(last)] = NEEDED[str(last)]
    elif isinstance(above, list) and isinstance(last, int):
        above[last] = REMOVED
    elif len(path) == 1:
        if last in NEEDED:
            data[str(last)] = NEEDED[str(last)]
    elif above is not REMOVED:
        _remove(data, path[:-1])


def _without_removed(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_removed(one) for one in value if one is not REMOVED]
    if isinstance(value, dict):
        return {key: _without_removed(one) for key, one in value.items()}
    return value


def _origin(data: dict[str, Any]) -> dict[str, list[int]]:
    return {
        key: [n for n, one in enumerate(section) if one is not REMOVED]
        for key, section in data.items()
        if isinstance(section, list)
    }
