"""Loading a book: all problems of a file at once, each with its place and the nearest valid word."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from opsbook.book import positions
from opsbook.book.catalogue import Catalogue
from opsbook.book.explain import data_path, problem, without_echoes
from opsbook.book.model import BookModel, book_model, kinds_in
from opsbook.book.overrides import Overridden, merged, overrides
from opsbook.book.positions import Located, Place, Problem, Unreadable, dotted, read_yaml
from opsbook.book.salvage import salvage
from opsbook.book.semantics import Contradiction, contradictions
from opsbook.book.words import nearest
from opsbook.errors import UsageError

__all__ = ["BOOK_FILE", "Book", "InvalidBook", "find_book", "load_book", "nearest", "validate"]

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
    models: Mapping[str, BookModel] = field(default_factory=dict)
    """The book as it is in each environment that overrides something."""

    @property
    def folder(self) -> Path:
        """Where relative paths of the book start."""
        return self.path.parent

    def problem(self, path: Sequence[str | int], message: str, hint: str = "") -> Problem:
        """A problem at the value of a key path."""
        return Problem(shown(self.path), self.located.value(path), dotted(path), message, hint)


def find_book(start: Path, named: str | None = None) -> Path:
    """The book that is meant: the named file or folder, or the first book.yaml or ops/book.yaml upwards from here."""
    if named:
        path = Path(named)
        candidates = [path / BOOK_FILE, path / "ops" / BOOK_FILE] if path.is_dir() else [path]
        for candidate in candidates:
            if _is_there(candidate):
                return candidate
        raise UsageError(f"there is no book at {candidates[0]}", "name a book.yaml or its folder with --book")
    for folder in [start, *start.parents]:
        for candidate in (folder / BOOK_FILE, folder / "ops" / BOOK_FILE):
            if _is_there(candidate):
                return candidate
    raise UsageError(
        f"no {BOOK_FILE} here, in ops/, or in a folder above", "`opsbook init` writes one; or name one with --book PATH"
    )


def _is_there(path: Path) -> bool:
    """Whether it is a file. Raises UsageError where that cannot be told."""
    try:
        return path.is_file()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "check the path and its permissions") from error


def load_book(path: Path, catalogue: Catalogue) -> Book:
    """Read and validate, also as it is in every environment. Raises InvalidBook with every problem of the file."""
    text = _read(path)
    name = shown(path)
    problems: list[Problem] = []
    try:
        located = read_yaml(text, name)
    except Unreadable as error:
        if error.located is None:
            raise InvalidBook(error.problems) from error
        problems, located = list(error.problems), error.located
    if not isinstance(located.data, dict):
        message = "the book is empty" if located.data is None else "a book is a mapping of keys"
        start = Problem(name, Place(1, 1), "", message, "begin with `opsbook: 1`, or run `opsbook init`")
        raise InvalidBook([*problems, start])
    model, found = validate(located.data, located, name, catalogue)
    problems += found
    if model is None or problems:
        raise InvalidBook(problems)
    return Book(model, path, located, catalogue, _in_environments(model, located, name, catalogue))


def _in_environments(model: BookModel, located: Located, file: str, catalogue: Catalogue) -> dict[str, BookModel]:
    """So that a threshold that does not fit in production is an error today, not on the night of the first use."""
    models: dict[str, BookModel] = {}
    problems: list[Problem] = []
    for name, environment in model.environments.items():
        if not overrides(environment):
            continue
        data = merged(located.data, environment)
        there, found = validate(data, Overridden(located, name, environment), file, catalogue)
        problems += found
        if there is not None:
            models[name] = there
    if problems:
        raise InvalidBook(problems)
    return models


def validate(
    data: Mapping[str, Any], located: Located, file: str, catalogue: Catalogue
) -> tuple[BookModel | None, list[Problem]]:
    """The typed book, or what is wrong with it; `located` gives the places."""
    try:
        model = book_model(catalogue, kinds_in(data)).model_validate(data)
        return model, [_of(found, located, file) for found in contradictions(model, catalogue)]
    except ValidationError:
        # What is wrong is told by the model of all kinds: it knows what else could have been meant.
        shape = book_model(catalogue)
    try:
        model = shape.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems = without_echoes([problem(one, located, file, shape, data) for one in details])
        paths = [data_path(one["loc"], data) for one in details]
        return None, problems + _further(shape, dict(data), paths, located, file, catalogue)
    return model, [_of(found, located, file) for found in contradictions(model, catalogue)]


def _further(
    shape: type[BookModel],
    data: dict[str, Any],
    errors: Sequence[positions.Path],
    located: Located,
    file: str,
    catalogue: Catalogue,
) -> list[Problem]:
    """What is wrong besides the errors of the schema, without what only follows from them."""
    saved = salvage(shape, data, errors)
    if saved is None:
        return []
    problems = []
    for found in contradictions(saved.model, catalogue, data):
        path = saved.path(found.path)
        if not any(path[: len(error)] == error or error[: len(path)] == path for error in errors):
            problems.append(_of(Contradiction(path, found.message, found.hint, found.at_key), located, file))
    return problems


def _of(found: Contradiction, located: Located, file: str) -> Problem:
    path = located.source(found.path)
    place = located.key(path) if found.at_key else located.value(path)
    return Problem(file, place, dotted(path), found.message, found.hint)


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_BOOK:
            raise UsageError(
                f"{path} is larger than a book can be ({LARGEST_BOOK // 2**20} MiB)", "is it the right file?"
            )
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidBook(
            [Problem(shown(path), Place(1, 1), "", "not UTF-8 text", "save it as UTF-8; is it the right file?")]
        ) from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "check the path and its permissions") from error


def shown(path: Path) -> str:
    """The path as a person wants it: relative where that is short."""
    try:
        relative = os.path.relpath(path)
    except ValueError:
        return str(path)
    return str(path) if relative.startswith(".." + os.sep + "..") else relative
