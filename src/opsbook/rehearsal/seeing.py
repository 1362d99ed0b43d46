"""Checks before and after a procedure, and what fired. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from opsbook.book.checks import Check
from opsbook.book.system import System
from opsbook.checks.evaluate import Result, State
from opsbook.rehearsal.model import CheckSeen, Silent
from opsbook.store.rehearsals import Firing

FIRES = (State.WARNING, State.CRITICAL)
SETTLE_SECONDS = 30.0
"""How long a check may be bad after a change before that counts: what was restarted must warm up."""
MOST_PATIENCE = 300.0
"""What a check gets at most that the book calls an alert only where it is bad for longer (`for`)."""


def checks_of(system: System, touched: frozenset[str], procedure: str) -> list[Check]:
    """The checks of what a procedure touches, and those that send people to it."""
    return [one for one in system.checks if one.of in touched or one.procedure == procedure]


def worse(before: Mapping[str, Result], after: Mapping[str, Result]) -> list[Result]:
    """What is critical or unknown now, and was neither before."""
    return [one for name, one in after.items() if one.state.bad and not (name in before and before[name].state.bad)]


def patience(bad: Iterable[Result], most: float) -> float:
    """Seconds that checks get to recover: as long as the book lets them be bad before it calls them an alert."""
    return min(most, max([SETTLE_SECONDS, *(one.check.for_.total_seconds() for one in bad)]))


def seen(before: Mapping[str, Result], after: Mapping[str, Result], restored: Mapping[str, Result]) -> list[CheckSeen]:
    """Each check with its states, in the order of the book."""
    return [
        CheckSeen(
            name,
            str(before[name].state) if name in before else "",
            str(one.state),
            one.sentence,
            str(restored[name].state) if name in restored else "",
        )
        for name, one in after.items()
    ]


def firings(results: Iterable[Result]) -> list[Firing]:
    """The checks that fire."""
    return [Firing("check", one.check.id, str(one.state), one.at.timestamp()) for one in results if one.state in FIRES]


def silent(system: System, rules: Sequence[tuple[str, str]], fired: Iterable[Firing]) -> list[Silent]:
    """The checks and alert rules (name, group) that never fired."""
    known = {(one.kind, one.name) for one in fired}
    found = [Silent("check", one.id, one.of) for one in system.checks if ("check", one.id) not in known]
    return found + [Silent("alert", name, group) for name, group in rules if ("alert", name) not in known]
