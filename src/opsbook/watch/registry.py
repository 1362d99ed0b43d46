"""Finds the parts of the watch by importing their modules: a new part is one new file."""

from __future__ import annotations

from functools import cache

from opsbook.connectors.offered import import_modules
from opsbook.watch.contract import MakePart, Part, Watch

MADE: list[MakePart] = []


def part(make: MakePart) -> MakePart:
    """Registers what makes a part of the watch: a class that is called with the `Watch`, or a function."""
    MADE.append(make)
    return make


@cache
def _known() -> tuple[MakePart, ...]:
    import_modules("opsbook.watch")
    return tuple(MADE)


def parts(watch: Watch) -> list[Part]:
    """Every part, made for this watch."""
    return [make(watch) for make in _known()]
