"""Values for the parameters of a procedure: given in its front matter, or derived. Pure.

In this order: `example`, `default`, nothing where it is not required, what was found in the system, a component of the
kind that the procedure's operations change, the first of its choices, a modest value of its type. A text that was not
found, or a secret, cannot be derived.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from opsbook.book.system import System
from opsbook.connectors.change import Json
from opsbook.engine.procedure import Parameter, Procedure, StepKind
from opsbook.rehearsal.model import Sample

MODEST: dict[str, Json] = {"bool": False, "int": 1, "float": 1.0, "duration": "1h", "size": "1MB", "ratio": "50%"}
"""What a parameter gets that says only its type."""
NOTHING: Mapping[str, Json] = MappingProxyType({})
_WHOLE = re.compile(r"\{\{\s*([a-z_][a-z0-9_]*)\s*\}\}")


def sample(procedure: Procedure, system: System, seen: Mapping[str, Json] = NOTHING) -> tuple[list[Sample], list[str]]:
    """A value for each parameter, and a sentence for each that there is none for.

    `seen` are values that were found in the system, by parameter.
    """
    found, missing = [], []
    for parameter in procedure.parameters:
        given = _value(parameter, procedure, system, seen)
        if given is not None:
            found.append(given)
        elif parameter.required:
            meaning = f" ({parameter.doc})" if parameter.doc else ""
            missing.append(f"a value of the {parameter.type} parameter {parameter.name!r}{meaning}")
    return found, missing


def named(value: Json, samples: dict[str, Json]) -> str:
    """A name that a step gives, which may be a parameter as a whole."""
    match = _WHOLE.fullmatch(str(value).strip())
    return str(samples.get(match[1], "")) if match else str(value)


def _value(parameter: Parameter, procedure: Procedure, system: System, seen: Mapping[str, Json]) -> Sample | None:
    name = parameter.name
    if parameter.example is not None:
        return Sample(name, parameter.example, "example")
    if parameter.default is not None:
        return Sample(name, parameter.default, "default")
    if not parameter.required:
        return None
    if name in seen:
        return Sample(name, seen[name], "found")
    if parameter.type == "component":
        component = next(_components(parameter, procedure, system), None)
        return Sample(name, component, "component") if component else None
    if parameter.choices:
        return Sample(name, parameter.choices[0], "choice")
    if parameter.type in MODEST:
        return Sample(name, MODEST[parameter.type], "derived")
    return None


def _components(parameter: Parameter, procedure: Procedure, system: System) -> Iterator[str]:
    """The components that fit every operation which changes the one that the parameter names."""
    wanted = list(_kinds_changed(parameter.name, procedure, system))
    for name in parameter.choices or tuple(system.components):
        component = system.components.get(name)
        if component is not None and all(_fits(component.kind, bool(component.workload), kinds) for kinds in wanted):
            yield name


def _kinds_changed(parameter: str, procedure: Procedure, system: System) -> Iterator[tuple[str, ...]]:
    operations = system.book.catalogue.operations
    for step in procedure.steps:
        given = step.body.get("parameters")
        if step.kind is StepKind.OP and isinstance(given, dict):
            match = _WHOLE.fullmatch(str(given.get("of", "")).strip())
            spec = operations.get(str(step.body.get("operation")))
            if match and match[1] == parameter and spec:
                yield spec.kinds


def _fits(kind: str, held: bool, kinds: tuple[str, ...]) -> bool:
    return kind in kinds or "any" in kinds or ("workload" in kinds and held)
