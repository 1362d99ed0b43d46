"""From a step with its values to the changes that it would make: an operation plans them, another fence is one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from opsbook.book.words import nearest
from opsbook.connectors.change import Change, Json
from opsbook.connectors.workload import workload_name
from opsbook.engine.procedure import Step, StepKind
from opsbook.engine.values import Filled, change_of, fill
from opsbook.errors import UsageError
from opsbook.operations.contract import Facts, Operation
from opsbook.operations.registry import operations

LOOKS = frozenset({StepKind.PROMQL, StepKind.CHECK})
"""Fences that only look: they make no change, and are read when they are reached."""


async def changes_of(step: Step, filled: Filled, facts: Facts) -> AsyncIterator[Change]:
    """The changes of a step, in order. Raises Refused, Unreachable, ReadFailed or UsageError."""
    if step.kind is StepKind.OP:
        operation = operation_of(filled)
        parameters = operation.spec.parameters.model_validate(filled["parameters"])
        async for change in operation.plan(parameters, facts):
            yield change
    elif step.kind in (StepKind.SH, StepKind.SQL, StepKind.HTTP):
        inside = None
        if step.kind is StepKind.SH and step.on:
            # Of a component with two sides, the one that has the traffic: the other may have no instance.
            inside = facts.runtime, await workload_name(facts.connector(step.on))
        yield await change_of(step, filled, inside)


async def undoing(step: Step, names: Mapping[str, Any], facts: Facts) -> Change | None:
    """The one change that takes the step back, where the procedure says one."""
    if step.undo is None:
        return None
    back = replace(step, body=step.undo, undo=None)
    found = None
    async for change in changes_of(back, fill(back, names, facts.system), facts):
        found = change
    return found


def operation_of(body: Mapping[str, Any]) -> Operation:
    """The operation that an `op` fence names. Raises UsageError where this opsbook does not have it."""
    name = str(body["operation"])
    found = operations().get(name)
    if found is None:
        raise UsageError(f"there is no operation named {name!r}", nearest(name, operations()))
    return found


def component_of(step: Step, effect: Mapping[str, Json] | None = None) -> str:
    """What the step addresses; empty where it is opsbook's own host. `effect` is the body with its values."""
    if step.kind is StepKind.OP:
        parameters = (effect or step.body).get("parameters")
        return str(parameters.get("of", "")) if isinstance(parameters, dict) else ""
    return step.on
