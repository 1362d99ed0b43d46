"""Why an autoscaler holds a workload at the number at which it is."""

from __future__ import annotations

from opsbook.connectors.contract import Connections
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_autoscalers import autoscaler_of
from opsbook.connectors.runtimes.kubernetes_why_scaled import why
from opsbook.connectors.workload import workload_of
from opsbook.upkeep.advice.contract import Advice, Advised

DOCS = "https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/"


async def of_autoscaler(connections: Connections, component: str) -> Advised | None:
    """The sentence, and what is wrong with it; None where no autoscaler holds the workload."""
    runtime = connections.runtime
    if not isinstance(runtime, Kubernetes):
        return None
    kind, now = await runtime.found(workload_of(connections.system, component))
    found = await autoscaler_of(runtime, kind.name, now["metadata"]["name"])
    if found is None:
        return None
    advice: tuple[Advice, ...] = ()
    if found.at_most and found.pressed:
        advice = (Advice(component, "most", str(found.most), str(found.needed or found.most + 1),
                         f"it wants {found.needed or 'more'} and may have {found.most}", DOCS, "reload",
                         "more pods take more of the nodes and open more connections: see the sum of pools",
                         applied=False),)  # fmt: skip
    return Advised(component, "autoscaler", advice, (why(found),))
