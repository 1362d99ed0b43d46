"""Whether everything that a book needs can be reached: every component, the runtime, and what they take to reach.

Never raises for what a component does. Nothing is changed anywhere.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Sequence

from opsbook.book.catalogue import Component, Cost, ObservationSpec
from opsbook.book.positions import Problem
from opsbook.book.references import references
from opsbook.book.semantics import can_read
from opsbook.book.system import System
from opsbook.book.units import Dimension
from opsbook.book.words import nearest
from opsbook.checks.diagnosis import Diagnosis, Health
from opsbook.checks.doctor_book import examine_book
from opsbook.clock import Clock
from opsbook.connectors.contract import Connections, Failure, Reading, Request
from opsbook.connectors.registry import registered
from opsbook.errors import OpsbookError
from opsbook.observations.registry import observations, read_parameters

PACKAGES = {
    "celery": ("celery", "pip install 'opsbook[celery]'"),
    "celery-beat": ("celery", "pip install 'opsbook[celery]'"),
}
"""Component kind → the Python package that its connector needs besides opsbook's own, and how it comes here."""

ALSO = {"replica": "postgres.replica_up"}
"""Key of a component whose value is an address of its own → the observation that tells whether that answers."""


async def examine(system: System, connections: Connections, clock: Clock) -> list[Diagnosis]:
    """The diagnoses of everything in the book of this environment, components first."""
    of_book = examine_book(system, clock.now())
    readable = not any(one.area == "credential" and one.name == system.environment.env_file
                       and one.health is Health.WRONG for one in of_book)  # fmt: skip
    runtime = await _runtime(system, connections)
    held = runtime is not None and runtime[0].health is Health.FINE
    tried = [_component(system, name, connections, held, readable) for name in system.components]
    components = [one for found in await asyncio.gather(*tried) for one in found]
    return [*components, *(runtime or []), *of_book]


async def _runtime(system: System, connections: Connections) -> list[Diagnosis] | None:
    """The runtime itself first, then workloads that it does not hold. None where the environment has no runtime."""
    kind = system.environment.runtime.kind
    if kind == "none":
        return None
    if kind not in registered().runtimes:
        known = ", ".join(sorted(registered().runtimes))
        message = f"this version cannot ask {kind}; facts of workloads are unknown"
        return [Diagnosis("runtime", kind, Health.NOTE, message, f"it can ask {known}" if known else "")]
    limit = system.model.intervals.timeout.total_seconds()
    try:
        async with asyncio.timeout(limit):
            workloads = [workload.name for workload in await connections.runtime.list()]
    except TimeoutError:
        return [Diagnosis("runtime", kind, Health.WRONG, f"no answer within {limit:g} s", f"does {kind} run?")]
    except OpsbookError as error:
        hint = error.hint or f"correct `runtime` of the environment {system.name}"
        return [Diagnosis("runtime", kind, Health.WRONG, error.message, hint)]
    found = [Diagnosis("runtime", kind, Health.FINE, f"answers; holds {len(workloads)} workloads")]
    for name, component in system.components.items():
        if component.workload and component.workload not in workloads:
            message = f"{kind} has no workload named {component.workload!r}"
            found.append(Diagnosis("runtime", name, Health.WRONG, message, nearest(component.workload, workloads)))
    return found


async def _component(
    system: System, name: str, connections: Connections, held: bool, readable: bool
) -> list[Diagnosis]:
    component = system.components[name]
    missing = _missing(system, name) if readable else []
    if not readable or missing:
        what = ", ".join(problem.message for problem in missing) or "its credentials cannot be read"
        hint = missing[0].hint if missing else "see the env_file below"
        return [Diagnosis("component", name, Health.WRONG, f"not tried: {what}", hint)]
    package, how = PACKAGES.get(component.kind, ("", ""))
    if package and importlib.util.find_spec(package) is None:
        message = f"not tried: the Python package {package} is not installed here"
        return [Diagnosis("component", name, Health.WRONG, message, how)]
    chosen = probes(component, held)
    if not chosen:
        message = "nothing tells by itself whether it is there" + (
            "" if held else "; the environment has no runtime to ask"
        )
        return [Diagnosis("component", name, Health.NOTE, message, "add a check that sees its work")]
    return await _probe(system, name, connections, chosen)


def _missing(system: System, name: str) -> list[Problem]:
    """References without a value, of the component and of those that its connector goes through."""
    linked = [getattr(system.components[name], key) for key in system.components[name].linked]
    return system.missing_secrets({name, *(other for other in linked if other)})


def probes(component: Component, held: bool) -> list[ObservationSpec]:
    """The observations that tell whether a component is there; `held`: a runtime can be asked for its workload."""
    specs = [observation.spec for observation in observations().values()]
    plain = [spec for spec in specs if not _needs(spec)]
    own = [spec for spec in plain if component.kind in spec.kinds]
    of_workload = [spec for spec in plain if spec.kinds == ("workload",) and can_read(spec, component)]
    vital = [spec for spec in own if spec.vital and (held or spec not in of_workload)]
    if not vital and held:
        vital = [spec for spec in of_workload if spec.vital]
    if not vital:
        # A state that is not vital may well be "down" without anything being out of reach: a figure tells more.
        vital = sorted(
            (spec for spec in own if spec not in of_workload),
            key=lambda spec: (spec.dimension is Dimension.STATE, list(Cost).index(spec.cost)),
        )
    also = [spec for key, name in ALSO.items() for spec in own if spec.name == name and getattr(component, key, None)]
    return [*vital[:1], *also]


def _needs(spec: ObservationSpec) -> bool:
    return any(field.is_required() for field in spec.parameters.model_fields.values())


async def _probe(
    system: System, name: str, connections: Connections, chosen: Sequence[ObservationSpec]
) -> list[Diagnosis]:
    limit = system.model.intervals.timeout.total_seconds()
    return [await _ask(system, name, connections, spec, limit) for spec in chosen]


async def _ask(system: System, name: str, connections: Connections, spec: ObservationSpec, limit: float) -> Diagnosis:
    request = Request(spec.name, spec, read_parameters(spec, {}), limit)
    shown = f"{name} ({spec.name})" if spec.name in ALSO.values() else name
    try:
        async with asyncio.timeout(limit + 0.5):
            (reading,) = await observations()[spec.name].reader.read(connections.of(name), [request])
    except TimeoutError:
        reading = Reading(spec.name, None, failure=Failure.TIMEOUT, message=f"no answer within {limit:g} s")
    except OpsbookError as error:
        return Diagnosis("component", shown, Health.WRONG, error.message, error.hint or _hint(system, name))
    if reading.failure is Failure.ABSENT:
        return Diagnosis("component", shown, Health.NOTE, reading.message)
    tells = spec.vital or spec.name in ALSO.values()
    if reading.failure is not None or (tells and reading.value is False):
        message = reading.message or f"{spec.name} is down"
        return Diagnosis("component", shown, Health.WRONG, message, _hint(system, name))
    return Diagnosis("component", shown, Health.FINE, reading.message or f"{spec.name} could be read")


def _hint(system: System, name: str) -> str:
    """Where its address comes from, which is the first thing to look at."""
    component = system.components[name]
    addresses = [str(reference) for _, reference in references(component)]
    via = [f"the component {getattr(component, key)}" for key in component.linked if getattr(component, key)]
    where = " and ".join([*addresses[:2], *via])
    return f"does it run? is {where} right?" if where else "does it run?"
