"""What runtimes say of a workload: what it uses and may use, its processes, its pools. Only reads."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from opsbook.book.environments import ComposeRuntime, SupervisorRuntime
from opsbook.connectors.contract import Connections
from opsbook.connectors.runtimes.contract import Usage
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_kinds import container_of, template_of
from opsbook.connectors.runtimes.kubernetes_quantities import quantity
from opsbook.connectors.sides import serving_workload
from opsbook.connectors.workload import workload_of
from opsbook.errors import OpsbookError
from opsbook.upkeep.advice import resources, workers
from opsbook.upkeep.advice.contract import Advised, Machine
from opsbook.upkeep.advice.observed import History, Observed


@dataclass(frozen=True)
class Seen:
    """A workload now."""

    instances: int
    usage: Usage | None
    given: resources.Given
    applied: bool
    """Whether its runtime can be told other requests and limits."""


async def look(connections: Connections, component: str) -> Seen:
    """What it is and uses now. Raises Absent for a component without workload, Unreachable."""
    runtime, workload = connections.runtime, await _serving(connections, component)
    found = await runtime.status(workload)
    usage = None
    if "resources" in runtime.capabilities:
        with contextlib.suppress(OpsbookError):
            usage = await runtime.resources(workload)
    instances = max(1, found.workload.ready)
    if isinstance(runtime, Kubernetes):
        return Seen(instances, usage, await _given(runtime, workload), applied=True)
    limits = resources.Given()
    if usage is not None and isinstance(connections.system.environment.runtime, ComposeRuntime):
        cpu, memory = usage.cpu_limit, usage.memory_limit
        limits = resources.Given(cpu_limit=cpu and cpu / instances, memory_limit=memory and memory / instances)
    return Seen(instances, usage, limits, applied=False)


async def _serving(connections: Connections, component: str) -> str:
    """Its workload; of one with two sides that of the side which serves."""
    return await serving_workload(connections, component) or workload_of(connections.system, component)


async def _given(runtime: Kubernetes, workload: str) -> resources.Given:
    _, one = await runtime.found(workload)
    name, _ = runtime.image_of(one, workload)
    said = container_of(template_of(one), name).get("resources") or {}

    def figure(key: str, what: str) -> float | None:
        text = (said.get(key) or {}).get(what)
        return quantity(text) if text else None

    return resources.Given(
        figure("requests", "cpu"), figure("requests", "memory"), figure("limits", "cpu"), figure("limits", "memory")
    )


async def of_resources(connections: Connections, component: str, history: History, enough: float) -> Advised:
    """Requests and limits of its instances."""
    seen = await look(connections, component)
    cores, memory = history.of(component, "workload.cores"), history.of(component, "workload.memory")
    if cores is None and seen.usage is not None and seen.usage.cpu_limit:
        cores = _times(history.of(component, "workload.cpu"), seen.usage.cpu_limit)
    if memory is None and seen.usage is not None and seen.usage.memory_limit and _plain(history, component):
        memory = _times(history.of(component, "workload.memory_ratio"), seen.usage.memory_limit)
    found = resources.advise(
        component, resources.Used(seen.instances, cores, memory), seen.given, enough, applied=seen.applied
    )
    told = list(found.told)
    if seen.usage is not None:
        used = resources.cores(seen.usage.cpu), resources.mebis(seen.usage.memory)
        told.append(f"now {seen.instances} × {component} use {used[0]} and {used[1]} together")
    untold = list(found.untold)
    if found.advice and not seen.applied:
        untold.append("this runtime is not told limits by opsbook: write them where its workloads are described")
    return replace(found, told=tuple(told), untold=tuple(untold))


def _plain(history: History, component: str) -> bool:
    """Whether its memory ratio is one of the runtime's own limit."""
    checks = [one for one in history.system.checks if (one.of, one.observe) == (component, "workload.memory_ratio")]
    return all("limit" not in one.with_ for one in checks)


def _times(ratio: Observed | None, limit: float) -> Observed | None:
    if ratio is None:
        return None
    return replace(ratio, means=tuple(one * limit for one in ratio.means), greatest=ratio.greatest * limit)


async def serving_of(connections: Connections, component: str, machine: Machine | None) -> workers.Serving | None:
    """Its processes and pools; None where it is no known application server and says nothing of a pool."""
    seen, runtime = await look(connections, component), connections.runtime
    workload = await _serving(connections, component)
    variables: Mapping[str, str] = {}
    if "environment" in runtime.capabilities:
        with contextlib.suppress(OpsbookError):
            variables = await runtime.environment(workload)
    here = isinstance(connections.system.environment.runtime, SupervisorRuntime)
    pids = [one.pid for one in (await runtime.status(workload)).instances if one.pid] if here else []
    argv = _argv(pids[0]) if pids else await _told_argv(connections, workload)
    server, count, source = workers.read(argv, variables)
    pool = workers.pool_of(variables)
    if not server and pool is None:
        return None
    used = seen.usage.cpu if seen.usage else None
    cores = machine.cores if machine else None
    if cores is None and seen.usage is not None:
        cores = seen.usage.cpu_limit
    return workers.Serving(server, count, seen.instances, cores, used, pool, source)


def _argv(pid: int) -> list[str]:
    """The command line of a process of this host; empty where it has ended."""
    try:
        return [word for word in Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0") if word]
    except OSError:
        return []


async def _told_argv(connections: Connections, workload: str) -> list[str]:
    """The command of a container, where its description says it; an image's own is not known to the runtime."""
    runtime = connections.runtime
    if not isinstance(runtime, Kubernetes):
        return []
    _, one = await runtime.found(workload)
    name, _ = runtime.image_of(one, workload)
    container = container_of(template_of(one), name)
    return [*(container.get("command") or []), *(container.get("args") or [])]
