"""The autoscaler of a side: it holds the side that has the traffic."""

from __future__ import annotations

from opsbook.connectors.change import Change
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_autoscalers import KIND_NAME, autoscaler_of
from opsbook.connectors.runtimes.kubernetes_targets import KIND, Target, patched, verdict


async def moved_autoscaler(runtime: Kubernetes, old: str, new: str) -> Change | None:
    """The change by which the autoscaler of a workload holds another one; None where none holds it, or each has one.

    Raises Refused where the server would not take it.
    """
    kind, there = await runtime.found(old)
    name = (await runtime.found(new))[1]["metadata"]["name"]
    one = await autoscaler_of(runtime, kind.name, there["metadata"]["name"])
    if one is None or await autoscaler_of(runtime, kind.name, name) is not None:
        return None
    evidence = {"autoscaler": one.name, "holds": one.workload, "then": name}
    change = patched(Target.of(KIND_NAME, one.name), one.raw, {"spec": {"scaleTargetRef": {"name": name}}},
                     verb="autoscale", evidence=evidence)  # fmt: skip
    told = await verdict(runtime, change.effect, one.raw)
    return Change(KIND, change.effect, {**evidence, **told}, change.guard, change.inverse)
