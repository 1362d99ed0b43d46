"""Workloads of a namespace that no network policy protects."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from opsbook.book.catalogue import Cost
from opsbook.book.units import Dimension
from opsbook.connectors.cluster import ClusterConnector
from opsbook.connectors.contract import Fact, ReadFailed
from opsbook.connectors.runtimes.kubernetes_api import ApiFault, NotThere
from opsbook.connectors.runtimes.kubernetes_budgets import selects
from opsbook.observations.cluster_nodes import CLUSTER
from opsbook.observations.registry import observation

SHOWN = 8


def unprotected(pods: list[Any], policies: list[Any]) -> dict[str, list[str]]:
    """By what owns them the pods that no policy for incoming connections selects."""
    found: dict[str, list[str]] = defaultdict(list)
    incoming = [one["spec"] for one in policies if "Ingress" in (one["spec"].get("policyTypes") or ["Ingress"])]
    for pod in pods:
        meta = pod["metadata"]
        ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        if not ended and not any(selects(one.get("podSelector") or {}, meta.get("labels") or {}) for one in incoming):
            owner: dict[str, str] = next(iter(meta.get("ownerReferences") or []), {})
            found[f"{owner.get('kind', 'Pod')} {owner.get('name', meta['name'])}"].append(meta["name"])
    return dict(found)


@observation(
    "cluster.without_policy", Dimension.COUNT, of=CLUSTER, cost=Cost.MODERATE, warning="> 0",
    doc="Workloads of the namespace whose pods no network policy for incoming connections selects: everybody in the"
    " cluster may connect to them. Whether the network of the cluster enforces policies, it does not tell.",
)  # fmt: skip
async def without_policy(cluster: ClusterConnector) -> Fact:
    kubernetes = cluster.kubernetes
    home = kubernetes.namespace.name
    try:
        served = await kubernetes.namespace.served("networking.k8s.io", ("v1",), "networkpolicies")
        policies = [one async for one in kubernetes.api.pages(f"{served}/namespaces/{home}/networkpolicies")]
        pods = [one async for one in kubernetes.api.pages(f"/api/v1/namespaces/{home}/pods")]
    except (ApiFault, NotThere) as error:
        raise ReadFailed(f"not asked: this credential may not read the network policies of {home}: {error.message}",
                         "`opsbook generate rbac` prints the role that this book needs") from error  # fmt: skip
    found = unprotected(pods, policies)
    names = ", ".join(sorted(found)[:SHOWN])
    return Fact(float(len(found)), {"policies": len(policies), "findings": [{"subject": one} for one in sorted(found)]},
                f"{len(policies)} policies" + (f"; none for {names}" if found else ""))  # fmt: skip
