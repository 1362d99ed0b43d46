"""Lifters by program. Adding a tool is one file in `tools/`, found by its registration."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache

from opsbook.manual.lift.context import Lifted, Use

Lifter = Callable[[Use], Lifted]
_LIFTERS: dict[str, Lifter] = {}


def lifts(*programs: str) -> Callable[[Lifter], Lifter]:
    """Registers a function as what lifts the commands of these programs."""

    def register(lifter: Lifter) -> Lifter:
        for program in programs:
            assert program not in _LIFTERS, f"{program} is lifted twice"
            _LIFTERS[program] = lifter
        return lifter

    return register


@cache
def lifters() -> dict[str, Lifter]:
    """Every lifter by the program that it reads."""
    package = importlib.import_module("opsbook.manual.lift.tools")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(_LIFTERS)


def lift(use: Use) -> Lifted:
    """What the command becomes; None where no lifter knows its program."""
    lifter = lifters().get(use.command.program)
    return lifter(use) if lifter else None
