"""A book as it holds in one environment: overrides merged, references resolvable, dependencies followed."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from opsbook.book.catalogue import Component
from opsbook.book.checks import Check
from opsbook.book.environments import BUILT_IN_POLICIES, Environment, Policy
from opsbook.book.load import Book, InvalidBook
from opsbook.book.model import BookModel
from opsbook.book.overrides import Overridden
from opsbook.book.positions import Path as KeyPath
from opsbook.book.positions import Problem
from opsbook.book.references import MissingSecret, Reference, references
from opsbook.book.semantics import dependencies
from opsbook.book.words import nearest
from opsbook.errors import UsageError


@dataclass(frozen=True)
class System:
    """The book in one environment. What everything above the book works with."""

    book: Book
    name: str
    model: BookModel

    @property
    def environment(self) -> Environment:
        return self.model.environments[self.name]

    @property
    def components(self) -> Mapping[str, Component]:
        return self.model.components

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        """The checks that belong to this environment."""
        return tuple(check for check in self.model.checks if self.holds(check.environments))

    def holds(self, environments: Collection[str]) -> bool:
        """Whether something that names these environments belongs here; none named is everywhere."""
        return not environments or self.name in environments

    @property
    def policy(self) -> Policy:
        return {**BUILT_IN_POLICIES, **self.model.policies}[self.environment.policy]

    @property
    def folder(self) -> Path:
        """Where relative paths of the book start."""
        return self.book.folder

    def has_procedure(self, name: str) -> bool:
        """Whether the book's folder of procedures holds one of this name, or its certificates or rotations make one."""
        here = self.model
        made = {f"renew-{one.id}" for one in here.certificates if self.holds(one.environments)}
        made |= {f"rotate-{one.id}" for one in here.rotations if self.holds(one.environments)}
        return name in made or (self.folder / here.procedures / f"{name}.md").is_file()

    @cached_property
    def variables(self) -> Mapping[str, str]:
        """The env file of the environment, with the process environment over it."""
        return {**self._env_file(), **os.environ}

    def forget_variables(self) -> None:
        """Read the env file anew at the next reference: somebody has written it."""
        self.__dict__.pop("variables", None)

    def resolve(self, reference: Reference) -> str:
        """The value of a reference, for the moment of its use only. Raises MissingSecret."""
        return reference.resolve(self.variables, self.folder)

    def path(self, written: str) -> Path:
        """A path of the book, which may hold references, as an absolute one."""
        return (self.folder / Path(self.resolve(Reference(written))).expanduser()).absolute()

    def upstream(self, component: str) -> Iterator[str]:
        """The components that it needs, nearest first, each once."""
        seen, waiting = {component}, dependencies(self.components[component])
        while waiting:
            name = waiting.pop(0)
            if name in seen or name not in self.components:
                continue
            seen.add(name)
            yield name
            waiting += dependencies(self.components[name])

    def missing_secrets(self, used: set[str], without: Collection[str] = ()) -> list[Problem]:
        """References of these components that have no value, each with its place; but for those below these keys."""
        problems = []
        for name in sorted(used):
            at: KeyPath = ("components", name)
            for path, reference in references(self.components[name], at):
                if set(without) & set(path):
                    continue
                try:
                    self.resolve(reference)
                except MissingSecret as error:
                    problems.append(self.problem(path, error.message, error.hint))
        return problems

    def problem(self, path: KeyPath, message: str, hint: str = "") -> Problem:
        """A problem at a key path of the book as it is here: what the environment overrides is found there."""
        source = Overridden(self.book.located, self.name, self.environment).source(path)
        return self.book.problem(source, message, hint)

    def _env_file(self) -> dict[str, str]:
        if not self.environment.env_file:
            return {}
        path = self.folder / Path(self.environment.env_file).expanduser()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            problem = self.book.problem(
                ("environments", self.name, "env_file"),
                f"{self.environment.env_file}: {reason}",
                "start the system that writes it, create it, or remove the key",
            )
            raise InvalidBook([problem]) from error
        return parse_env(text)


_ENV_LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)\s*=\s*
    (?:'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<bare>.*?))\s*(?:(?<=\s)\#.*)?$""",
    re.VERBOSE,
)


def parse_env(text: str) -> dict[str, str]:
    """KEY=VALUE lines; comments, `export`, and quotes around a value are understood."""
    values = {}
    for line in text.splitlines():
        found = None if line.lstrip().startswith("#") else _ENV_LINE.match(line)
        if found is None:
            continue
        if found["double"] is not None:
            values[found["name"]] = re.sub(r"\\(.)", r"\1", found["double"])
        else:
            values[found["name"]] = found["single"] if found["single"] is not None else found["bare"]
    return values


def in_environment(book: Book, named: str | None = None) -> System:
    """The book as it holds there. Raises UsageError for an unclear name, InvalidBook for overrides that do not fit."""
    name = _choose(book, named)
    return System(book, name, book.models.get(name, book.model))


def _choose(book: Book, named: str | None) -> str:
    known = book.model.environments
    name = named or os.environ.get("OPSBOOK_ENV") or book.model.default_environment
    if not name and len(known) == 1:
        return next(iter(known))
    if not name:
        raise UsageError(
            "which environment? " + ", ".join(known), "name one with --env, OPSBOOK_ENV or `default_environment`"
        )
    if name not in known:
        raise UsageError(f"there is no environment named {name!r}", nearest(name, known))
    return name
