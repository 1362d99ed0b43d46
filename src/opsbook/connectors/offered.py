"""What a room offers, by name: a module is imported when something of it is asked for, not before.

`offered.json` tells which module registers which name; `make docs` writes it. It only saves time: what it does not
know, or knows wrongly, is found by importing the whole room. All rooms together took half a second of every verb.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

INDEX = Path(__file__).resolve().parents[1] / "offered.json"


def import_modules(package: str) -> None:
    """Import every module of a room, so that what it registers is known."""
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if not module.name.rpartition(".")[2].startswith("_"):
            importlib.import_module(module.name)


class Offered(Mapping[str, T]):
    """One kind of thing that a room offers. To ask for one imports its module; to go through them imports all."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind, self.package = kind, package
        self._known: dict[str, T] = {}
        self._from: dict[str, str] = {}

    def add(self, name: str, one: T) -> None:
        """Registers one under a name; the module that is being imported is remembered as its place."""
        self._known[name] = one
        self._from[name] = _being_imported()

    def has(self, name: str) -> bool:
        """Whether something of this name is registered by now; nothing is imported."""
        return name in self._known

    def __getitem__(self, name: str) -> T:
        if name not in self._known:
            self._import(name)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        import_room(self.package)
        return iter(sorted(self._known))

    def __len__(self) -> int:
        import_room(self.package)
        return len(self._known)

    def places(self) -> dict[str, list[str]]:
        """Module of the room → the names that it registers."""
        found: dict[str, list[str]] = {}
        for name in self:
            if self._from[name].startswith(self.package + "."):
                found.setdefault(self._from[name], []).append(name)
        return dict(sorted(found.items()))

    def _import(self, name: str) -> None:
        module = _modules(self.kind).get(name)
        if module is not None:
            try:
                importlib.import_module(module)
            except ModuleNotFoundError as error:
                if error.name != module:  # it was moved since; what it needs is another matter
                    raise
        if name not in self._known:
            import_room(self.package)


def index_of(rooms: Iterable[Offered[object]]) -> str:
    """What `offered.json` must hold: kind of thing → module → names."""
    return json.dumps({one.kind: one.places() for one in rooms}, indent=1) + "\n"


@cache
def import_room(package: str) -> None:
    """As `import_modules`, once."""
    import_modules(package)


@cache
def _modules(kind: str) -> dict[str, str]:
    """Name → the module that registers it."""
    index = json.loads(INDEX.read_text(encoding="utf-8")) if INDEX.is_file() else {}
    return {name: module for module, names in index.get(kind, {}).items() for name in names}


def _being_imported() -> str:
    """The module whose top level registers something just now; a decorator does not know where it is written."""
    frame = sys._getframe(1)
    while frame.f_code.co_name != "<module>" and frame.f_back is not None:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", ""))
