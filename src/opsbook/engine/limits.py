"""How long a step may take: what its fence says, else what its operation promises where that is longer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from opsbook.connectors.change import Change, Json
from opsbook.engine.fences import operation_of
from opsbook.engine.procedure import Step, StepKind

GRACE_SECONDS = 10.0
PROMISES = ("timeout", "within")
"""Names, in an effect and among the parameters of an operation, of the time after which it ends by itself."""


def seconds_of(step: Step, change: Change) -> float:
    """How long a change may take. An executor that knows its limit ends its work more cleanly than a cancellation."""
    effect = change.effect if isinstance(change.effect, dict) else {}
    seconds = step.timeout + (GRACE_SECONDS if "timeout" in effect else 0.0)
    # Of a statement it is only what the server allows: the step ends it sooner.
    if not step.timeout_left_out or change.kind.startswith("sql"):
        return seconds
    promised = [float(effect[name]) for name in PROMISES if isinstance(effect.get(name), int | float)]
    return max([seconds, *(one + GRACE_SECONDS for one in promised)])


def seconds_at_most(step: Step, changes: Sequence[Change]) -> float:
    """How long all attempts at a step may take. Without changes it is planned only when it is reached: it then counts
    as one change, with the promise that its operation makes as far as that can be known before.
    """
    once = sum(seconds_of(step, change) for change in changes) if changes else _before_it_is_planned(step)
    return max(once, 1.0) * (1 + step.retry)


def _before_it_is_planned(step: Step) -> float:
    if step.kind is not StepKind.OP or not step.timeout_left_out:
        return step.timeout
    given = step.body.get("parameters")
    values: Mapping[str, Json] = given if isinstance(given, dict) else {}
    fields = operation_of(step.body).spec.parameters.model_fields
    promised = [_seconds(fields[name], values.get(name)) for name in PROMISES if name in fields]
    return max([step.timeout, *(one + GRACE_SECONDS for one in promised)])


def _seconds(field: Any, written: Json) -> float:
    """The value of a parameter, or its default where none is written, or a template."""
    value = field.default
    if written is not None:
        try:
            value = TypeAdapter(field.rebuild_annotation()).validate_python(written)
        except ValidationError:
            value = field.default
    if isinstance(value, timedelta):
        return value.total_seconds()
    return float(value) if isinstance(value, int | float) else 0.0
