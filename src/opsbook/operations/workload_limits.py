"""What a container of a workload asks of its node, and what it may use at most."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change
from opsbook.connectors.cluster import kubernetes_of
from opsbook.connectors.runtimes.contract import Unsupported
from opsbook.connectors.runtimes.kubernetes_kinds import container_of, template_of
from opsbook.connectors.runtimes.kubernetes_quantities import quantity
from opsbook.connectors.runtimes.kubernetes_targets import Target, patched, verdict
from opsbook.connectors.workload import workload_of
from opsbook.errors import Refused, UsageError
from opsbook.operations.contract import Facts, Repeatable
from opsbook.operations.registry import operation
from opsbook.operations.workloads import Workload, gate


def _checked(text: str) -> str:
    if text:
        quantity(text)
    return text


Quantity = Annotated[str, AfterValidator(_checked)]


class Limits(Workload):
    cpu_request: Quantity = Field("", description="cores that are kept for it, such as 250m; as it is where left out")
    memory_request: Quantity = Field("", description="memory that is kept for it, such as 128Mi")
    cpu_limit: Quantity = Field("", description="cores that it may use at most")
    memory_limit: Quantity = Field("", description="memory above which it is ended")


@operation(
    "workload.limits", Risk.DISRUPTIVE, of="workload", idempotent=True, parameters=Limits,
    doc="Sets what a workload asks of its nodes and may use at most; its pods are replaced one by one. Undo brings back"
    " the old figures.",
)  # fmt: skip
class _Limits(Repeatable):
    async def plan(self, parameters: Limits, facts: Facts) -> AsyncIterator[Change]:
        runtime = kubernetes_of(facts.runtime)
        workload = workload_of(facts.system, parameters.of)
        kind, now = await runtime.found(workload)
        if not kind.rolls:
            raise Unsupported(f"a {kind.name} does not replace its pods, so that new limits would not reach them")
        name, _ = runtime.image_of(now, workload)
        wanted = _wanted(container_of(template_of(now), name).get("resources") or {}, parameters)
        patch = {"spec": {"template": {"spec": {"containers": [{"name": name, "resources": wanted}]}}}}
        more = {"workload": workload, "wait": parameters.wait, "until": "ready"}
        target = Target.workload(kind, now["metadata"]["name"])
        change = patched(target, now, patch, verb="limits", how="apply", manager=f"opsbook-resources-{name}", more=more)
        evidence = await verdict(runtime, change.effect, now)
        yield Change(change.kind, change.effect, evidence or None, change.guard, change.inverse)
        wait = gate(facts, parameters)
        if wait is not None:
            yield wait


def _wanted(now: dict[str, Any], parameters: Limits) -> dict[str, Any]:
    """All figures, the new over the old: what is applied is given up where it is left out. Raises Refused."""
    said = {("requests", "cpu"): parameters.cpu_request, ("requests", "memory"): parameters.memory_request,
            ("limits", "cpu"): parameters.cpu_limit, ("limits", "memory"): parameters.memory_limit}  # fmt: skip
    if not any(said.values()):
        raise UsageError("no figure is said", "set cpu_request, memory_request, cpu_limit or memory_limit")
    wanted: dict[str, dict[str, str]] = {key: dict(now.get(key) or {}) for key in ("requests", "limits")}
    for (key, what), value in said.items():
        if value:
            wanted[key][what] = value
    for what in ("cpu", "memory"):
        asked, most = wanted["requests"].get(what), wanted["limits"].get(what)
        if asked and most and quantity(asked) > quantity(most):
            raise Refused(f"it would ask for {asked} of {what} and may use {most} at most", "raise the limit with it")
    return {key: value for key, value in wanted.items() if value}
