"""Inhibitions: a component that is down hushes what follows from that, as `opsbook check` folds it.

A vital check that is critical hushes every other check of its component, and those of all components that need it.
Of several vital checks of one component the first of the book speaks: two that hush each other would tell nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opsbook.book.checks import Check
from opsbook.book.system import System
from opsbook.checks.evaluate import State
from opsbook.observations.registry import observations
from opsbook.watch.generate.promql import quoted

SAME = ["system", "environment"]


def inhibit_rules(system: System) -> list[dict[str, Any]]:
    """Critical hushes the warning of the same check; causes hush consequences."""
    worse = {
        "source_matchers": [f'severity="{State.CRITICAL}"', 'check!=""'],
        "target_matchers": [f'severity=~"{State.WARNING}|{State.UNKNOWN}"', 'check!=""'],
        "equal": [*SAME, "check", "slo"],
    }
    return [worse, *_causes(system)]


def _causes(system: System) -> Iterator[dict[str, Any]]:
    causes = list(speakers(system).values())
    for n, cause in enumerate(causes):
        # Of two that explain each other, which only `depends_on` of checks can say, the earlier one speaks.
        mutual = [one for one in causes[:n] if follows(system, cause, one)]
        following = [c.id for c in system.checks if follows(system, c, cause) and c not in mutual]
        if following:
            yield {
                "source_matchers": [f'check="{cause.id}"', f'severity="{State.CRITICAL}"', 'slo=""'],
                "target_matchers": [f"check=~{quoted('|'.join(one.replace('.', '[.]') for one in following))}"],
                "equal": SAME,
            }


def speakers(system: System) -> dict[str, Check]:
    """The check that tells that a component is down, by component."""
    found: dict[str, Check] = {}
    for check in system.checks:
        if observations()[check.observe].spec.vital:
            found.setdefault(check.of, check)
    return found


def follows(system: System, check: Check, cause: Check) -> bool:
    """Whether the check can be bad because the component of the cause is down."""
    if check.id == cause.id or not observations()[check.observe].spec.follows:
        return False
    needed = {check.of, *check.depends_on}
    for name in tuple(needed):
        needed |= set(system.upstream(name))
    return cause.of in needed
