"""Draining a node: nothing new is put on it, and its pods are evicted one by one as their disruption budgets allow.

Only the eviction API is used, never a plain delete: a budget that says no is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opsbook.connectors.change import Done, Sink
from opsbook.connectors.runtimes.kubernetes_api import ApiFault, NotThere, Object
from opsbook.connectors.runtimes.kubernetes_pods import owner_of
from opsbook.connectors.runtimes.kubernetes_wait import NotReady
from opsbook.errors import Unreachable

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

LOOK_SECONDS = 0.5
FORBIDDEN = 403
BUDGET_SAYS_NO = 429
MIRROR = "kubernetes.io/config.mirror"


async def pods_on(runtime: Kubernetes, node: str) -> list[Object]:
    """Every pod on a node, of every namespace."""
    return [one async for one in runtime.api.pages("/api/v1/pods", {"fieldSelector": f"spec.nodeName={node}"})]


def stays(pod: Object) -> bool:
    """Whether a drain leaves it: a DaemonSet would put it back, a static pod is the node's, a finished one is none."""
    return (
        owner_of(pod)[0] == "DaemonSet"
        or MIRROR in (pod["metadata"].get("annotations") or {})
        or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    )


def loses_data(pod: Object) -> bool:
    """Whether it keeps something on the node that goes with it."""
    return any("emptyDir" in volume and (volume["emptyDir"] or {}).get("medium") != "Memory"
               for volume in pod["spec"].get("volumes") or [])  # fmt: skip


def words(pod: Object) -> str:
    """As people name it."""
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


async def drain(runtime: Kubernetes, effect: Mapping[str, Any], out: Sink) -> Done:
    """Evicts until nothing is left. Raises NotReady where a budget does not let a pod go within `wait`."""
    node, clock = effect["object"]["name"], asyncio.get_running_loop().time
    moved, left, evicted = clock(), -1, set[str]()
    refused: dict[str, str] = {}
    while True:
        try:
            pods = [pod for pod in await pods_on(runtime, node) if not stays(pod)]
        except Unreachable:
            pods = None
        if pods is not None:
            if len(pods) != left:
                moved, left = clock(), len(pods)
                await out.write(f"{node}: {left} pods to go\n")
            if not pods:
                return Done({"node": node, "evicted": sorted(evicted)})
            refused = {}
            for pod in pods:
                if not pod["metadata"].get("deletionTimestamp"):
                    said = await _evict(runtime, pod)
                    refused |= {words(pod): said} if said else {}
                    evicted |= set() if said else {words(pod)}
        if clock() - moved > effect["wait"]:
            told = "; ".join(f"{name}: {said}" for name, said in list(refused.items())[:3]) or f"{left} pods still end"
            raise NotReady(f"{node} is not drained after {effect['wait']:g} s without progress: {told}",
                           "raise its replicas or its disruption budget, then go on")  # fmt: skip
        await asyncio.sleep(LOOK_SECONDS)


async def _evict(runtime: Kubernetes, pod: Object) -> str:
    """Asks for one eviction; why not, where a budget says no."""
    metadata = pod["metadata"]
    served = await runtime.namespace.served("policy", ("v1", "v1beta1"), "poddisruptionbudgets")
    version = served.removeprefix("/apis/")
    body = {"apiVersion": version, "kind": "Eviction",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
            "deleteOptions": {"preconditions": {"uid": metadata["uid"]}}}  # fmt: skip
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/eviction"
    try:
        await runtime.api.post(path, body)
    except NotThere:
        return ""
    except ApiFault as error:
        if error.code == BUDGET_SAYS_NO:
            return "; ".join(error.causes) or error.message
        if error.code == FORBIDDEN and "because it is being terminated" in error.message:
            return "its namespace is being removed, and it goes with that"
        raise
    return ""
