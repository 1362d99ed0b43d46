"""A book as it holds in one environment: overrides merged, references resolvable, dependencies followed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from opsbook.book.catalogue import Component
from opsbook.book.checks import Check
from opsbook.book.environments import BUILT_IN_POLICIES, Environment, Policy
from opsbook.book.load import Book, InvalidBook, nearest, validate
from opsbook.book.model import BookModel
from opsbook.book.positions import Located, Problem
from opsbook.book.references import MissingSecret, Reference
from opsbook.book.semantics import dependencies
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

    @property
    def checks(self) -> tuple[Check, ...]:
        return self.model.checks

    @property
    def policy(self) -> Policy:
        return {**BUILT_IN_POLICIES, **self.model.policies}[self.environment.policy]

    @property
    def folder(self) -> Path:
        """Where relative paths of the book start."""
        return self.book.folder

    @cached_property
    def variables(self) -> Mapping[str, str]:
        """The env file of the environment, with the process environment over it."""
        return {**self._env_file(), **os.environ}

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

    def missing_secrets(self, used: set[str]) -> list[Problem]:
        """References of these components that have no value, each with its place."""
        problems = []
        for name in sorted(used):
            for key, value in self.components[name]:
                if not isinstance(value, Reference):
                    continue
                try:
                    self.resolve(value)
                except MissingSecret as error:
                    problems.append(self._problem(name, key, error))
        return problems

    def _problem(self, component: str, key: str, error: MissingSecret) -> Problem:
        override = self.environment.components.get(component, {})
        path = (
            ("environments", self.name, "components", component, key)
            if key in override
            else ("components", component, key)
        )
        return self.book.problem(path, error.message, error.hint)

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


def parse_env(text: str) -> dict[str, str]:
    """KEY=VALUE lines; `#` comments, `export`, and quotes around a value are understood."""
    values = {}
    for line in text.splitlines():
        line = line.strip().removeprefix("export ")
        key, equals, value = line.partition("=")
        if not equals or line.startswith("#"):
            continue
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        values[key.strip()] = value
    return values


def in_environment(book: Book, named: str | None = None) -> System:
    """The book as it holds there. Raises UsageError for an unclear name, InvalidBook for overrides that do not fit."""
    name = _choose(book, named)
    environment = book.model.environments[name]
    if not environment.components and not environment.checks:
        return System(book, name, book.model)
    data = _merged(book.located.data, environment)
    model, problems = validate(data, _Overridden(book.located, name, environment), str(book.path), book.catalogue)
    if model is None or problems:
        raise InvalidBook(problems)
    return System(book, name, model)


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


def _merged(data: dict[str, Any], environment: Environment) -> dict[str, Any]:
    components = {
        name: {**component, **environment.components.get(name, {})} if isinstance(component, dict) else component
        for name, component in data["components"].items()
    }
    checks = [{**check, **environment.checks.get(check.get("id", ""), {})} for check in data.get("checks") or ()]
    return {**data, "components": components, "checks": checks}


class _Overridden(Located):
    """Places of merged data: an overridden key is found where the environment says it."""

    def __init__(self, located: Located, name: str, environment: Environment) -> None:
        super().__init__(located.data, dict(located.keys), dict(located.values))
        for component, keys in environment.components.items():
            self._move(("components", component), ("environments", name, "components", component), keys)
        order = [check.get("id") for check in located.data.get("checks") or ()]
        for check, keys in environment.checks.items():
            if check in order:
                self._move(("checks", order.index(check)), ("environments", name, "checks", check), keys)

    def _move(self, target: tuple[str | int, ...], source: tuple[str | int, ...], keys: Mapping[str, object]) -> None:
        for key in keys:
            for places in (self.keys, self.values):
                if (*source, key) in places:
                    places[(*target, key)] = places[(*source, key)]
