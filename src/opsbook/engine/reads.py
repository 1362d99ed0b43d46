"""Steps that only look: checks of the book, and queries of Prometheus. They make no change and have no intent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from opsbook.book.words import nearest
from opsbook.checks import audited as audited  # an executor that asks checks
from opsbook.checks import held as held  # executors ask it, and cannot import it
from opsbook.checks.sweep import sweep
from opsbook.connectors.change import Json
from opsbook.connectors.contract import LoginRefused
from opsbook.connectors.prometheus import Series
from opsbook.engine.facts import RecordedFacts
from opsbook.engine.procedure import Step, StepKind
from opsbook.engine.results import Unexpected
from opsbook.engine.values import fill
from opsbook.errors import UsageError


@runtime_checkable
class Queried(Protocol):
    """A connector that answers PromQL."""

    async def query(self, promql: str) -> list[Series]: ...


async def read(step: Step, names: Mapping[str, Any], facts: RecordedFacts) -> Json:
    """What the step sees. Raises Unexpected for checks that are bad, Unreachable and ReadFailed; one of REFUSALS where
    nothing but a credential that is not taken keeps it from seeing.
    """
    body = fill(step, names, facts.system)
    if step.kind is StepKind.CHECK:
        return await _checks(body, facts)
    connector = facts.connector(step.on)
    if not isinstance(connector, Queried):
        raise UsageError(f"{step.on!r} does not answer PromQL", "name a component of the kind prometheus with `on`")
    found = await connector.query(str(body["query"]))
    series = [{"labels": dict(one.labels), "value": _number(one.value)} for one in found]
    return {"rows": len(series), "series": series, "value": series[0]["value"] if len(series) == 1 else None}


async def _checks(body: dict[str, Json], facts: RecordedFacts) -> Json:
    wanted = [str(one) for key in ("checks", "groups") for one in body.get(key) or ()]
    known = {group for check in facts.system.checks for group in (check.id, *check.groups)}
    for name in wanted:
        if name not in known:
            raise UsageError(f"there is no check or group named {name!r}", nearest(name, known))
    chosen = [check for check in facts.system.checks if {check.id, *check.groups} & set(wanted)]
    found = await sweep(facts.system, chosen, facts.connections, facts.clock)
    told = [{"check": one.check.id, "state": str(one.state), "sentence": one.sentence} for one in found.results]
    bad = [one for one in found.results if one.state.bad]
    if bad:
        why = "; ".join(f"{one.check.id} is {one.state}: {one.sentence}" for one in bad)
        refused = {one.check.id for one in bad if one.refused}
        # What follows from a login that is refused is not known either; what is bad by itself is.
        if refused and all(one.refused or one.cause in refused for one in bad):
            raise LoginRefused(why, "put a credential in place that is taken")
        raise Unexpected(why, "`opsbook check` says more")
    return {"checks": told, "value": str(found.state)}


def _number(value: float) -> float | str:
    """A sample's value as JSON has it, which knows no NaN and no infinity."""
    return value if math.isfinite(value) else str(value)
