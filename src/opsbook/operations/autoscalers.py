"""The autoscaler of a workload: made and deleted, its bounds and its aims."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Ratio
from opsbook.connectors.change import Change
from opsbook.connectors.cluster import kubernetes_of
from opsbook.connectors.runtimes.contract import Unsupported
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_aims import aims_patch, unasked
from opsbook.connectors.runtimes.kubernetes_autoscalers import KIND_NAME, Autoscaler, autoscaler_of, bounded
from opsbook.connectors.runtimes.kubernetes_kinds import Kind, template_of
from opsbook.connectors.runtimes.kubernetes_made import making, unmaking
from opsbook.connectors.runtimes.kubernetes_targets import Target
from opsbook.connectors.runtimes.kubernetes_why_scaled import why
from opsbook.connectors.workload import workload_of
from opsbook.errors import Absent, Refused, UsageError
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation


class Bounds(OperationParameters):
    least: int | None = Field(None, ge=1, description="pods at least; as it is where left out")
    most: int | None = Field(None, ge=1, description="pods at most; as it is where left out")
    cpu: Ratio | None = Field(None, gt=0, le=10, description="CPU that it aims at, of what pods request: 70%")
    memory: Ratio | None = Field(None, gt=0, le=10, description="memory that it aims at, of what pods request")
    wait: float = Field(120, gt=0, le=3600, description="seconds until the workload must be within them")


async def _held(facts: Facts, component: str) -> tuple[Kubernetes, Kind, Any, Autoscaler | None]:
    runtime = kubernetes_of(facts.runtime)
    kind, now = await runtime.found(workload_of(facts.system, component))
    return runtime, kind, now, await autoscaler_of(runtime, kind.name, now["metadata"]["name"])


def _there(found: Autoscaler | None, component: str) -> Autoscaler:
    if found is None:
        raise Absent(f"no autoscaler holds {component}", "make one: `autoscaler.create`; or use `workload.scale`")
    return found


def _askable(now: Any, component: str, parameters: Bounds) -> None:
    """Raises Refused for an aim at a share of a request that is not there: it would never scale."""
    wanted = [what for what in ("cpu", "memory") if getattr(parameters, what) is not None]
    if missing := unasked(template_of(now), wanted):
        raise Refused(
            f"{component} requests no {' and no '.join(missing)}, so that a share of it means nothing",
            "set what it requests first: `workload.limits`",
        )


@operation(
    "autoscaler.set", Risk.SAFE, of="workload", idempotent=True, parameters=Bounds,
    doc="Sets how many pods the autoscaler of a workload keeps at least and at most, and the use of CPU and memory that"
    " it aims at. Undo brings the old figures back.",
)  # fmt: skip
class _Set(Repeatable):
    async def plan(self, parameters: Bounds, facts: Facts) -> AsyncIterator[Change]:
        runtime, _, now, held = await _held(facts, parameters.of)
        found = _there(held, parameters.of)
        _askable(now, parameters.of, parameters)
        facts.record(f"{parameters.of}: autoscaler", why(found))
        least, most = parameters.least or found.least, parameters.most or found.most
        if least > most:
            raise Refused(f"at least {least} and at most {most} pods cannot both be", "set `least` and `most` together")
        aims = await aims_patch(runtime, found.raw["spec"], parameters.cpu, parameters.memory)
        yield await bounded(
            runtime, found, least, most, workload_of(facts.system, parameters.of), parameters.wait, aims
        )


class Create(Bounds):
    least: int | None = Field(None, ge=1, description="pods at least; `min` of `scaling`, else 1")
    most: int | None = Field(None, ge=1, description="pods at most; `max` of `scaling` where left out")


@operation(
    "autoscaler.create", Risk.DISRUPTIVE, of="workload", idempotent=True, parameters=Create,
    doc="Makes an autoscaler for a workload that has none: bounds, and aims of CPU or memory, from `scaling` of the"
    " book where left out. Undo deletes it; the pods that it made stay.",
)  # fmt: skip
class _Create(Repeatable):
    async def plan(self, parameters: Create, facts: Facts) -> AsyncIterator[Change]:
        runtime, kind, now, held = await _held(facts, parameters.of)
        parameters = _as_the_book_says(parameters, facts)
        if held is not None:
            raise Refused(f"{held.name} holds {parameters.of} already", "change it: `autoscaler.set`")
        if "replicas" not in now["spec"]:
            raise Unsupported(f"a {kind.name} has no number of pods that could be held")
        if parameters.most is None or (parameters.cpu is None and parameters.memory is None):
            raise UsageError("an autoscaler needs `most`, and an aim: `cpu` or `memory`", "say cpu: 70%, most: 6")
        least = parameters.least or 1
        if least > parameters.most:
            raise Refused(f"at least {least} and at most {parameters.most} pods cannot both be", "say both anew")
        _askable(now, parameters.of, parameters)
        name = now["metadata"]["name"]
        aims = await aims_patch(runtime, {}, parameters.cpu, parameters.memory)
        spec = {"scaleTargetRef": {"apiVersion": f"{kind.group}/{kind.versions[0]}", "kind": kind.name, "name": name},
                "minReplicas": least, "maxReplicas": parameters.most, **aims}  # fmt: skip
        evidence = {"pods": now["spec"]["replicas"], "least": least, "most": parameters.most}
        yield await making(runtime, Target.of(KIND_NAME, name), spec, evidence)


def _as_the_book_says(parameters: Create, facts: Facts) -> Create:
    said = facts.system.model.scaling.get(parameters.of)
    if said is None:
        return parameters
    aims = (
        {} if parameters.cpu is not None or parameters.memory is not None else {"cpu": said.cpu, "memory": said.memory}
    )
    bounds = {"least": parameters.least or said.min or None, "most": parameters.most or said.max}
    return parameters.model_copy(update={**bounds, **aims})


class Delete(OperationParameters):
    pass


@operation(
    "autoscaler.delete", Risk.DISRUPTIVE, of="workload", idempotent=True, parameters=Delete,
    doc="Deletes the autoscaler of a workload, which stays at the number of pods that it has. Undo makes it again.",
)  # fmt: skip
class _Delete(Repeatable):
    async def plan(self, parameters: Delete, facts: Facts) -> AsyncIterator[Change]:
        runtime, _, _, held = await _held(facts, parameters.of)
        found = _there(held, parameters.of)
        target = Target.of(KIND_NAME, found.name)
        evidence = {"autoscaler": why(found), "pods": found.current, "least": found.least, "most": found.most}
        yield unmaking(target, await target.read_now(runtime), evidence)
