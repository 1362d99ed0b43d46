"""Which bad check explains which others. Pure.

A component whose vital check is bad is *down*. Everything else that is bad on it, and on every component that needs it,
follows from that. The cause is the down component that no other down component explains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from opsbook.checks.evaluate import Result, State

Upstream = Callable[[str], Iterable[str]]
"""The components that a component needs, nearest first."""


def fold(results: Sequence[Result], upstream: Upstream) -> list[Result]:
    """The results with `cause` set where another check explains a bad one.

    Invariants: a cause has no cause itself; no check is its own cause; only bad and warning checks get one.
    """
    down = _down(results)
    # Of thousands that are asked around the clock hardly one has another cause than before.
    causes = ((result, _cause(result, down, upstream)) for result in results)
    return [result if result.cause == cause else replace(result, cause=cause) for result, cause in causes]


def _down(results: Sequence[Result]) -> dict[str, Result]:
    """The vital check that speaks for each component that is down."""
    down: dict[str, Result] = {}
    for result in results:
        if result.spec.vital and result.state.bad:
            known = down.get(result.check.of)
            # Where several vital checks are bad, one that is sure speaks before one that could not be read.
            if known is None or (known.state is State.UNKNOWN and result.state is State.CRITICAL):
                down[result.check.of] = result
    return down


def _cause(result: Result, down: dict[str, Result], upstream: Upstream) -> str | None:
    if not down or result.state is State.OK or not result.spec.follows:
        return None
    suspects = [result.check.of, *result.check.depends_on, *upstream(result.check.of)]
    for other in result.check.depends_on:
        suspects += upstream(other)
    roots = [name for name in suspects if name in down]
    # The last one on the way up has nothing down above it that this component needs.
    for name in reversed(roots):
        if not any(higher in down for higher in upstream(name)):
            cause = down[name].check.id
            return None if cause == result.check.id else cause
    return None
