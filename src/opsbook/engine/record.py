"""Procedures, plans and changes as plain data, and back: what a run records, and what is shown as JSON."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change, Json
from opsbook.engine.procedure import OnFailure, Parameter, Plan, PlannedStep, Procedure, Step, StepKind

T = TypeVar("T")


def as_json(value: Any) -> Json:
    """A dataclass, with all that is in it, as plain data."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): as_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(one) for one in value]
    return value


def change_from_json(data: Json) -> Change:
    """A change as it was planned."""
    inverse = data["inverse"]
    return Change(**{**data, "inverse": inverse if isinstance(inverse, str) else change_from_json(inverse)})


def procedure_from_json(data: Json) -> Procedure:
    """A compiled procedure as it was recorded. Keys that a newer opsbook wrote are left out."""
    steps = tuple(_step(one) for one in data["steps"])
    parameters = tuple(
        Parameter(**{**_known(Parameter, one), "choices": tuple(one["choices"])}) for one in data["parameters"]
    )
    plain = _known(Procedure, data)
    return Procedure(
        **{**plain, "risk": Risk(data["risk"]), "lock": tuple(data["lock"]), "steps": steps, "parameters": parameters}
    )


def plan_from_json(data: Json) -> Plan:
    """A plan as it was recorded."""
    steps = tuple(planned_from_json(one) for one in data["steps"])
    plain = _known(Plan, data)
    return Plan(**{**plain, "procedure": procedure_from_json(data["procedure"]), "steps": steps})


def planned_from_json(data: Json) -> PlannedStep:
    """One step of a plan."""
    plain = _known(PlannedStep, data)
    return PlannedStep(**{**plain, "risk": Risk(data["risk"]), "changes": tuple(data["changes"])})


def _step(data: Json) -> Step:
    return Step(
        **{
            **_known(Step, data),
            "kind": StepKind(data["kind"]),
            "risk": Risk(data["risk"]),
            "on_failure": OnFailure(data["on_failure"]),
            "env": tuple(data["env"]),
            "needs": tuple(data["needs"]),
        }
    )


def _known(shape: type[Any], data: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(shape)}
    return {key: value for key, value in data.items() if key in names}
