"""Loading a book: all problems of a file at once, each with its place and the nearest valid word."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from opsbook.book.catalogue import Catalogue
from opsbook.book.model import BookModel, book_model
from opsbook.book.positions import Located, Place, Problem, Unreadable, dotted, read_yaml
from opsbook.book.semantics import contradictions
from opsbook.errors import UsageError

BOOK_FILE = "book.yaml"
LARGEST_BOOK = 16 * 2**20


class InvalidBook(UsageError):
    """The book cannot be used. `problems` holds everything that is wrong."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: (problem.file, problem.place))
        count = len(self.problems)
        listing = "\n".join(str(problem) for problem in self.problems)
        super().__init__(f"{listing}\n{count} problem{'s' if count > 1 else ''} in the book")


@dataclass(frozen=True)
class Book:
    """A valid book, where it lies, and where each of its keys stands."""

    model: BookModel
    path: Path
    located: Located
    catalogue: Catalogue

    @property
    def folder(self) -> Path:
        return self.path.parent

    def problem(self, path: Sequence[str | int], message: str, hint: str = "") -> Problem:
        """A problem at the value of a key path."""
        return Problem(_shown(self.path), self.located.value(path), dotted(path), message, hint)


def find_book(start: Path, named: str | None = None) -> Path:
    """The book that is meant: the named file or folder, or the first book.yaml or ops/book.yaml upwards from here."""
    if named:
        path = Path(named)
        path = path / BOOK_FILE if path.is_dir() else path
        if not path.is_file():
            raise UsageError(f"there is no book at {path}", "name a book.yaml or its folder with --book")
        return path
    for folder in [start, *start.parents]:
        for candidate in (folder / BOOK_FILE, folder / "ops" / BOOK_FILE):
            if candidate.is_file():
                return candidate
    raise UsageError(
        f"no {BOOK_FILE} here, in ops/, or in a folder above", "`opsbook init` writes one; or name one with --book PATH"
    )


def load_book(path: Path, catalogue: Catalogue) -> Book:
    """Read and validate. Raises InvalidBook with every problem of the file."""
    text = _read(path)
    name = _shown(path)
    try:
        located = read_yaml(text, name)
    except Unreadable as error:
        raise InvalidBook(error.problems) from error
    if not isinstance(located.data, dict):
        problem = Problem(
            name, Place(1, 1), "", "a book is a mapping of keys", "start with `opsbook: 1`, or run `opsbook init`"
        )
        raise InvalidBook([problem])
    model, problems = validate(located.data, located, name, catalogue)
    if model is None or problems:
        raise InvalidBook(problems)
    return Book(model, path, located, catalogue)


def validate(
    data: Mapping[str, Any], located: Located, file: str, catalogue: Catalogue
) -> tuple[BookModel | None, list[Problem]]:
    """The typed book, or what is wrong with it; `located` gives the places."""
    shape = book_model(catalogue)
    try:
        model = shape.model_validate(data)
    except ValidationError as error:
        return None, [_problem(details, located, file, shape, data) for details in error.errors()]
    found = contradictions(model, catalogue)
    return model, [
        Problem(file, located.key(c.path) if c.at_key else located.value(c.path), dotted(c.path), c.message, c.hint)
        for c in found
    ]


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest valid word, or all where none is near."""
    names = sorted(set(known))
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    if not names:
        return "there is none to choose from"
    return "known: " + ", ".join(names[:20]) + (" …" if len(names) > 20 else "")


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_BOOK:
            raise UsageError(
                f"{path} is larger than a book can be ({LARGEST_BOOK // 2**20} MiB)", "is it the right file?"
            )
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidBook(
            [Problem(_shown(path), Place(1, 1), "", "not UTF-8 text", "save it as UTF-8; is it the right file?")]
        ) from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "check the path and its permissions") from error


def _shown(path: Path) -> str:
    try:
        relative = os.path.relpath(path)
    except ValueError:
        return str(path)
    return str(path) if relative.startswith(".." + os.sep + "..") else relative


EXPECTED = {
    "missing": ("this key is required", ""),
    "string_type": ("expected text", "quote it"),
    "int_type": ("expected a whole number", ""),
    "int_parsing": ("expected a whole number", ""),
    "bool_type": ("expected true or false", ""),
    "bool_parsing": ("expected true or false", ""),
    "tuple_type": ("expected a list", "write `[a, b]` or lines that begin with `- `"),
    "list_type": ("expected a list", "write `[a, b]` or lines that begin with `- `"),
    "dict_type": ("expected a mapping", "write `key: value` lines below it"),
    "model_type": ("expected a mapping", "write `key: value` lines below it"),
    "model_attributes_type": ("expected a mapping", "write `key: value` lines below it"),
}


def _problem(details: ErrorDetails, located: Located, file: str, shape: type[BaseModel], data: Any) -> Problem:
    path = _data_path(details["loc"], data)
    kind, message, hint = details["type"], details["msg"], ""
    place = located.value(path)
    if kind == "extra_forbidden":
        place = located.key(path)
        message = f"the key {path[-1]!r} is not known here"
        hint = nearest(str(path[-1]), _keys(shape, details["loc"]))
    elif kind in ("union_tag_invalid", "literal_error", "enum", "union_tag_not_found"):
        message, hint = _choice(details)
        if kind == "union_tag_invalid":
            path = (*path, "kind")
            place = located.value(path)
    elif kind in EXPECTED:
        message, hint = EXPECTED[kind]
        if kind == "missing":
            place = located.key(path[:-1])
            message = f"the key {path[-1]!r} is missing"
            hint = f"add `{path[-1]}:` here"
    else:
        message = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
        message = message[:1].lower() + message[1:]
    return Problem(file, place, dotted(path), message, hint)


def _choice(details: ErrorDetails) -> tuple[str, str]:
    context = details.get("ctx", {})
    if details["type"] == "union_tag_not_found":
        return "the key 'kind' is missing", "add `kind:` here"
    raw = str(context.get("expected_tags") or context.get("expected") or "")
    words = [word.strip().strip("'") for word in raw.replace(" or ", ", ").split(",")]
    given = context.get("tag") or details.get("input")
    return f"{given!r} is not valid here", nearest(str(given), words)


def _data_path(location: tuple[int | str, ...], data: Any) -> tuple[int | str, ...]:
    """The location without the union tags that pydantic puts in."""
    path: list[int | str] = []
    for n, part in enumerate(location):
        last = n == len(location) - 1
        if isinstance(data, Mapping):
            if part in data:
                data = data[part]
                path.append(part)
            elif last:
                path.append(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
            path.append(part)
        # else: a union tag, or a position inside a scalar's own type
    return tuple(path)


def _keys(shape: Any, location: tuple[int | str, ...]) -> list[str]:
    """The keys that are valid where an unknown one stands."""
    current: list[Any] = [shape]
    for part in location[:-1]:
        current = [inner for one in current for inner in _step(one, part)]
    keys: list[str] = []
    for one in current:
        for model in _models(one):
            keys += [field.alias or name for name, field in model.model_fields.items()]
    return keys


def _step(annotation: Any, part: int | str) -> list[Any]:
    found: list[Any] = []
    for model in _models(annotation):
        for name, field in model.model_fields.items():
            if part in (name, field.alias):
                found.append(field.annotation)
    if found:
        return found
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is dict:
        return [arguments[1]]
    if origin in (tuple, list):
        return [arguments[0]]
    tagged = [model for model in _models(annotation) if _tag(model) == part]
    return tagged or [annotation]


def _tag(model: type[BaseModel]) -> str | None:
    kind = model.model_fields.get("kind")
    values = get_args(kind.annotation) if kind else ()
    return values[0] if values else None


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType) or hasattr(annotation, "__metadata__"):
        return [model for inner in get_args(annotation) for model in _models(inner)]
    return []
