"""A plan and a procedure as plain data, the same for every face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opsbook.engine import digest
from opsbook.engine.gate import components_of
from opsbook.engine.locks import Holder
from opsbook.engine.mistakes import Mistakes
from opsbook.engine.policy import Missing
from opsbook.engine.procedure import Plan, Procedure
from opsbook.engine.record import as_json


def plan_as_json(
    plan: Plan, lacks: Sequence[Missing], holders: Sequence[Holder], locks: Sequence[str] = ()
) -> dict[str, Any]:
    """All of the plan for programs."""
    return {
        "procedure": plan.procedure.name,
        "title": plan.procedure.title,
        "risk": plan.procedure.risk.value,
        "environment": plan.environment,
        "parameters": plan.parameters,
        "digest": plan.digest,
        "book_revision": plan.book_revision,
        "components": list(components_of(plan.procedure)),
        "locks": list(locks),
        "missing": [vars(one) for one in lacks],
        "in_the_way": [vars(one) for one in holders],
        "steps": [{**as_json(one), "digest": digest.step_digest(one)} for one in plan.steps],
    }


def procedures_as_json(found: Mapping[str, Procedure], wrong: Mapping[str, Sequence[Mistakes]]) -> list[dict[str, Any]]:
    """A line of each; those that cannot be compiled with their mistakes."""
    told: list[dict[str, Any]] = [
        {"name": one.name, "title": one.title, "risk": one.risk.value, "owner": one.owner, "steps": len(one.steps)}
        for one in found.values()
    ]
    told += [
        {"name": name, "broken": [text for one in mistakes for text in one.shown()]} for name, mistakes in wrong.items()
    ]
    return told
