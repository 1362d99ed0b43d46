"""Steps that only look: checks of the book, and queries of Prometheus. They make no change and have no intent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from opsbook.book.words import nearest
from opsbook.checks.sweep import sweep
from opsbook.connectors.change import Json
from opsbook.engine.facts import RecordedFacts
from opsbook.engine.procedure import Step, StepKind
from opsbook.engine.results import Unexpected
from opsbook.engine.values import fill
from opsbook.errors import UsageError


@runtime_checkable
class Queried(Protocol):
    """A connector that answers PromQL."""

    async def query(self, promql: str) -> Json: ...


async def read(step: Step, names: Mapping[str, Any], facts: RecordedFacts) -> Json:
    """What the step sees. Raises Unexpected for checks that are bad, Unreachable and ReadFailed."""
    body = fill(step, names, facts.system)
    if step.kind is StepKind.CHECK:
        return await _checks(body, facts)
    connector = facts.connector(step.on)
    if not isinstance(connector, Queried):
        raise UsageError(f"{step.on!r} does not answer PromQL", "name a component of the kind prometheus with `on`")
    series = await connector.query(str(body["query"]))
    return {"rows": len(series), "series": series, "value": _only_value(series)}


async def _checks(body: dict[str, Json], facts: RecordedFacts) -> Json:
    wanted = [str(one) for one in body["checks"]]
    known = {group for check in facts.system.checks for group in (check.id, *check.groups)}
    for name in wanted:
        if name not in known:
            raise UsageError(f"there is no check or group named {name!r}", nearest(name, known))
    chosen = [check for check in facts.system.checks if {check.id, *check.groups} & set(wanted)]
    found = await sweep(facts.system, chosen, facts.connections, facts.clock)
    told = [{"check": one.check.id, "state": str(one.state), "sentence": one.sentence} for one in found.results]
    bad = [
        f"{one['check']} is {one['state']}: {one['sentence']}"
        for one in told
        if one["state"] in ("critical", "unknown")
    ]
    if bad:
        raise Unexpected("; ".join(bad), "`opsbook check` says more")
    return {"checks": told, "value": str(found.state)}


def _only_value(series: Json) -> Json:
    if isinstance(series, list) and len(series) == 1 and isinstance(series[0], dict):
        return series[0].get("value")
    return None
