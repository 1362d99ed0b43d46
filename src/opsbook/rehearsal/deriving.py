"""Values for parameters, found in the system itself: a release that lies there, a small table, one instance more.

Only where an operation says what the parameter is for. What is found is a modest choice: it changes little.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress

from opsbook.connectors.change import Json
from opsbook.connectors.runtimes.brought import brought, by_version
from opsbook.connectors.runtimes.contract import Verb
from opsbook.connectors.sides import serving_workload, version_before
from opsbook.connectors.workload import WorkloadComponent
from opsbook.engine.facts import RecordedFacts
from opsbook.engine.procedure import Parameter, Procedure, StepKind
from opsbook.errors import OpsbookError
from opsbook.operations.contract import Facts
from opsbook.operations.postgres_tables import tables_now
from opsbook.rehearsal.samples import named

Finder = Callable[[Facts, str], Awaitable[Json]]
"""Facts and a component → a value, or None."""


async def derived(procedure: Procedure, facts: RecordedFacts, known: Mapping[str, Json]) -> dict[str, Json]:
    """Parameter → a value found in the system, for those that say neither an example nor a default."""
    found: dict[str, Json] = {}
    for parameter in procedure.parameters:
        if parameter.required and parameter.example is None and parameter.default is None and not parameter.choices:
            value = await _first(parameter, procedure, facts, {**known, **found})
            if value is not None:
                found[parameter.name] = value
    return found


async def _first(
    parameter: Parameter, procedure: Procedure, facts: RecordedFacts, known: Mapping[str, Json]
) -> Json | None:
    for finder, component in _uses(parameter.name, procedure, known):
        try:
            value = await finder(facts, component)
        except OpsbookError:
            # What cannot be asked now gives no value; planning says why where it matters.
            continue
        if value is not None:
            return value
    return None


def _uses(name: str, procedure: Procedure, known: Mapping[str, Json]) -> Iterator[tuple[Finder, str]]:
    """Where an operation takes the parameter as a whole: how a value for it is found, and the component."""
    whole = re.compile(rf"\{{\{{\s*{re.escape(name)}\s*\}}\}}")
    for step in procedure.steps:
        given = step.body.get("parameters")
        if step.kind is not StepKind.OP or not isinstance(given, dict):
            continue
        for key, value in given.items():
            finder = FINDERS.get((str(step.body.get("operation")), key)) or FINDERS.get((_kind(step.body), key))
            if finder and whole.fullmatch(str(value).strip()):
                yield finder, named(given.get("of", ""), dict(known))


def _kind(body: Mapping[str, Json]) -> str:
    return f"{str(body.get('operation')).partition('.')[0]}.*"


def _workload(facts: Facts, component: str) -> str:
    settings = facts.system.components.get(component)
    if settings is None:
        return ""
    return settings.workload or (component if isinstance(settings, WorkloadComponent) else "")


async def _one_more(facts: Facts, component: str) -> Json:
    """One instance more than are wanted now, within `scaling`; as many as now where the runtime has no room for it."""
    workload = _workload(facts, component)
    if not workload:
        return None
    status = await facts.runtime.status(workload)
    now = status.workload.wanted if status.workload.wanted is not None else status.workload.ready
    wanted = now + 1
    scaling = facts.system.model.scaling.get(component)
    if scaling is not None:
        wanted = max(1, min(max(wanted, scaling.min or 1), scaling.max or wanted))
    try:
        await facts.runtime.change(workload, Verb.SCALE, {"replicas": wanted})
    except OpsbookError:
        return max(1, now)
    return wanted


async def _other_version(facts: Facts, component: str) -> Json:
    """A version that does not run: the next that lies on the engine or the nodes, else the newest of those that ran;
    the one that runs where there is no other."""
    return await _version(facts, component, newest=True)


async def _version_before(facts: Facts, component: str) -> Json:
    """The version before the one that runs; any other where none is before it, and that one where there is no other."""
    return await _version(facts, component, newest=False)


async def _version(facts: Facts, component: str, *, newest: bool) -> Json:
    if component not in facts.system.components:
        return None
    connections = facts.connector(component).connections
    # Of two sides the idle one runs nothing that anybody meets.
    workload = await serving_workload(connections, component) or _workload(facts, component)
    if not workload:
        return None
    if not newest and (before := await version_before(connections, component)):
        return before
    known = sorted(await facts.runtime.revisions(workload), key=lambda one: one.number)
    runs = next((one.version for one in known if one.current), "")
    if newest and (beside := next_to(runs, await _brought(facts, workload))):
        return beside
    others = [one for one in known if not one.current and not one.left]
    now = next((one.number for one in known if one.current), 0)
    earlier = [one for one in others if one.number < now]
    left = [one for one in known if one.left and not one.current]
    chosen = (others if newest else earlier or others) or left or known
    return chosen[-1].version if chosen else None


def next_to(runs: str, brought: Sequence[str]) -> str:
    """The version after the one that runs, else the last before it; empty where there is no other."""
    later = [one for one in brought if by_version(one) > by_version(runs)]
    earlier = [one for one in brought if by_version(one) < by_version(runs)]
    return later[0] if later else earlier[-1] if earlier else ""


async def _brought(facts: Facts, workload: str) -> list[str]:
    """Versions that lie where it runs; none where this credential may not look there."""
    with suppress(OpsbookError):
        return await brought(facts.runtime, workload)
    return []


async def _smallest_table(facts: Facts, component: str) -> Json:
    tables = [one for one in await tables_now(facts, component) if not one.partitioned]
    smallest = min(tables, key=lambda one: (one.bytes, one.label), default=None)
    return smallest.label if smallest else None


FINDERS: dict[tuple[str, str], Finder] = {
    ("workload.scale", "replicas"): _one_more,
    ("workload.deploy", "version"): _other_version,
    ("side.bring_up", "version"): _other_version,
    ("workload.rollback", "version"): _version_before,
    ("postgres.*", "table"): _smallest_table,
}
"""Operation and its parameter → how a value is found."""
