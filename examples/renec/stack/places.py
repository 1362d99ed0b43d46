"""Where the system can run beside supervisor, and the module that brings it up there.

Each module has: `up(progress)`, `down()`, `destroy()`, `status()` which prints and gives an exit code, `SWITCHES`
(name → where it shows), `throw(name, parameters)` and `mend(name)` which gives the names of what was mended (`all`),
`harvest(mode)`, and `release(version, fault, migration)` which gives the image that it made.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from stack.errors import StackError
from stack.progress import Progress

HERE = "supervisor"
MODULES = {"kubernetes": "stack.on_kubernetes", "compose": "stack.on_compose"}
NAMES = (HERE, *MODULES)


class Place(Protocol):
    """What a module of MODULES offers."""

    SWITCHES: Mapping[str, str]

    def up(self, progress: Progress) -> None: ...

    def down(self) -> None: ...

    def destroy(self) -> None: ...

    def status(self) -> int: ...

    def throw(self, name: str, parameters: Mapping[str, float]) -> None: ...

    def mend(self, name: str) -> Sequence[str]: ...

    def harvest(self, mode: str) -> int: ...

    def release(self, version: str, fault: str, migration: bool) -> str: ...


def place(name: str) -> Place:
    """The module of a place. Raises StackError where this example does not have it."""
    try:
        return cast(Place, importlib.import_module(MODULES[name]))
    except ModuleNotFoundError as error:
        raise StackError(f"nothing runs on {name} here: {error}", f"use one of: {', '.join(NAMES)}") from error


def known(switches: Mapping[str, str], name: str) -> str:
    """The name of a switch. Raises StackError naming those that exist there."""
    if name not in switches:
        raise StackError(f"no switch {name!r} there", f"use one of: {', '.join(switches)}")
    return name
