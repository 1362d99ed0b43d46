"""The text of an imported book.yaml: one line an entry, each with the place in the manuals that it comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opsbook.book.catalogue import Catalogue
from opsbook.book.load import Book, validate
from opsbook.book.positions import Problem, Unreadable, read_yaml
from opsbook.book.system import System
from opsbook.manual.importing.procedures import flow
from opsbook.manual.importing.sources import Notes

Rows = list[tuple[Any, str]]
HEAD = """\
# The book of {title}, made by `opsbook import` of {manuals}.
# Behind each entry stands the line of the manual that says it. What no manual says is left open:
# import-report.html lists what a person must decide. It is yours now; importing again never overwrites an edit.
#
# Values that are secret, and addresses, are references such as ${{NAME}}: from the environment or an env_file.
"""


@dataclass
class Draft:
    """A book in the making: plain keys, sections that are mappings, and sections that are lists."""

    keys: dict[str, Any]
    mappings: dict[str, dict[str, tuple[Any, str]]] = field(default_factory=dict)
    lists: dict[str, Rows] = field(default_factory=dict)

    def text(self, head: str) -> str:
        """The file."""
        lines = [head.rstrip("\n")]
        lines += [f"{key}: {flow(value)}" for key, value in self.keys.items()]
        for section in ORDER:
            entries = self.mappings.get(section)
            if entries:
                lines += ["", f"{section}:"]
                lines += [f"  {flow(name)}: {flow(value)}{_from(place)}" for name, (value, place) in entries.items()]
            rows = self.lists.get(section)
            if rows:
                lines += ["", f"{section}:"]
                lines += [f"  - {flow(value)}{_from(place)}" for value, place in rows]
        return "\n".join(lines) + "\n"

    def without(self, key: str) -> str | None:
        """Take out the entry at a key path such as `checks[3].warning`; what it was, None where nothing is there."""
        match = re.match(r"(\w+)(?:\[(\d+)\]|\.([^.\[]+))?(?:\.(\w+))?", key)
        if match is None:
            return None
        section, number, name, inner = match.groups()
        if section in self.lists and number is not None and int(number) < len(self.lists[section]):
            value, place = self.lists[section].pop(int(number))
            return f"{section}: {value.get('id') or value.get('level') or value.get('table') or number} ({place})"
        if section in self.mappings and name in self.mappings[section]:
            value, place = self.mappings[section][name]
            if (
                section in ("components", "environments")
                and isinstance(value, dict)
                and inner in value
                and inner != "kind"
            ):
                del value[inner]
                return f"{section}: {name}.{inner} ({place})"
            del self.mappings[section][name]
            return f"{section}: {name} ({place})"
        return None


ORDER = (
    "environments",
    "components",
    "checks",
    "slos",
    "objectives",
    "backups",
    "retention",
    "severities",
    "escalation",
    "contacts",
    "channels",
    "windows",
    "checklists",
    "scaling",
)


def _from(place: str) -> str:
    return f"  # {' '.join(place.split())}" if place else ""


def loaded(draft: Draft, head: str, path: Path, catalogue: Catalogue, notes: Notes) -> tuple[str, System]:
    """The text and the system of its first environment. What the book's rules refuse is taken out and listed."""
    for _ in range(60):
        text = draft.text(head)
        system, problems = _system(text, path, catalogue)
        if system is not None and not problems:
            return text, system
        removed = False
        for problem in sorted(problems, key=lambda one: one.key, reverse=True):
            gone = draft.without(problem.key)
            if gone:
                notes.ask(
                    gone.rpartition("(")[2].rstrip(")"), f"{gone.rpartition(' (')[0]} is left out: {problem.message}"
                )
                removed = True
                break
        if not removed:
            break
    said = "; ".join(problem.message for problem in problems)
    raise AssertionError(f"the imported book does not hold together: {said}")


def _system(text: str, path: Path, catalogue: Catalogue) -> tuple[System | None, Sequence[Problem]]:
    try:
        located = read_yaml(text, path.name)
    except Unreadable as error:
        return None, error.problems
    model, problems = validate(located.data, located, path.name, catalogue)
    if model is None:
        return None, problems
    book = Book(model, path, located, catalogue)
    return System(book, next(iter(model.environments)), model), problems


def merged(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """An environment with what a file says of it."""
    return {**own, **given}
