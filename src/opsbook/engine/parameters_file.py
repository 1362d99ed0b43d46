"""Values of parameters in a file, YAML or JSON, each with its place: what is wrong with one is said where it stands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from opsbook.book.positions import Located, Place, Unreadable, read_yaml
from opsbook.errors import UsageError

LARGEST = 16 * 2**20
"""Bytes of a file of parameters; a larger value belongs into a file of its own."""


class WrongParameters(UsageError):
    """Values that do not fit the parameters of a procedure; every reason at once."""


class FileValues(dict[str, Any]):
    """The values of a file, and where each stands."""

    def __init__(self, values: dict[str, Any], file: str, places: dict[str, Place]) -> None:
        super().__init__(values)
        self.file, self.places = file, places

    def place(self, name: str) -> str:
        """`file:line:column` of a value."""
        place = self.places.get(name, Place(1, 1))
        return f"{self.file}:{place.line}:{place.column}"


def read_parameters_file(path: Path) -> FileValues:
    """The values of a file. Raises WrongParameters with the place of what is wrong."""
    try:
        if path.stat().st_size > LARGEST:
            raise WrongParameters(f"{path} is larger than {LARGEST // 2**20} MiB", "put large values into files")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise WrongParameters(f"{path}: {error.strerror}", "name a file that this user can read") from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise WrongParameters(f"{path}:{line}: it is not UTF-8 text", "save it as UTF-8") from error
    return parameters_of(text, str(path))


def parameters_of(text: str, file: str) -> FileValues:
    """As `read_parameters_file`, of a text at hand. JSON is read as JSON where the file's name says so."""
    data, places = _json(text, file) if file.endswith(".json") else _yaml(text, file)
    if not isinstance(data, dict):
        kind = {list: "a list", str: "a text", type(None): "empty"}.get(type(data), "one value")
        hint = 'write {"name": value}' if file.endswith(".json") else "write `name: value` lines"
        raise WrongParameters(f"{file}:1:1: a mapping of parameters was expected, and it is {kind}", hint)
    return FileValues({str(name): value for name, value in data.items()}, file, places)


def _yaml(text: str, file: str) -> tuple[Any, dict[str, Place]]:
    try:
        located: Located = read_yaml(text, file)
    except Unreadable as error:
        raise WrongParameters("\n".join(str(problem) for problem in error.problems)) from error
    names = located.data if isinstance(located.data, dict) else ()
    return located.data, {str(name): located.value((name,)) for name in names}


def _json(text: str, file: str) -> tuple[Any, dict[str, Place]]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        for name in names:
            if names.count(name) > 1:
                place = _place(text, list(_keys(text, name))[-1])
                raise WrongParameters(
                    f"{file}:{place.line}:{place.column}: the key {name!r} stands here twice", "keep one"
                )
        return dict(pairs)

    try:
        data = json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise WrongParameters(
            f"{file}:{error.lineno}:{error.colno}: {error.msg[:1].lower()}{error.msg[1:]}",
            "it ends in .json, and is no JSON",
        ) from error
    except (RecursionError, ValueError) as error:
        raise WrongParameters(f"{file}:1:1: {error}", "write plain values") from error
    found = {name: next(iter(_keys(text, name)), 0) for name in (data if isinstance(data, dict) else ())}
    return data, {name: _place(text, offset) for name, offset in found.items()}


def _keys(text: str, name: str) -> list[int]:
    """Where a key stands: the offsets of its values."""
    return [match.end() for match in re.finditer(re.escape(json.dumps(name)) + r"\s*:\s*", text)]


def _place(text: str, offset: int) -> Place:
    return Place(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))
