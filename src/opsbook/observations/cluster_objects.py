"""What a namespace holds besides its workloads: failing pods, autoscalers, services, volumes, certificates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from opsbook.book.catalogue import Cost
from opsbook.book.units import Dimension
from opsbook.connectors.cluster import ClusterConnector
from opsbook.connectors.contract import Fact
from opsbook.connectors.runtimes.kubernetes_api import NotThere, Object
from opsbook.connectors.runtimes.kubernetes_autoscalers import Autoscaler, autoscalers
from opsbook.connectors.runtimes.kubernetes_budgets import selects
from opsbook.connectors.runtimes.kubernetes_pods import moment
from opsbook.connectors.runtimes.kubernetes_why import Why
from opsbook.observations.cluster_nodes import CLUSTER, nodes
from opsbook.observations.registry import Absent, observation

SHOWN = 5


@observation(
    "cluster.pods_failing", Dimension.COUNT, of=CLUSTER, critical="> 0",
    doc="Pods of the namespace that are not ready, each with why: crash, image, no node, memory, probe, eviction.",
)  # fmt: skip
async def pods_failing(cluster: ClusterConnector) -> Fact:
    kubernetes = cluster.kubernetes
    look = await kubernetes.look()
    failing = [pod for pods in look.pods.values() for pod in pods
               if not pod.ready and not pod.ending and pod.state != "Succeeded"]  # fmt: skip
    more = await Why(kubernetes.api, kubernetes.namespace).of(failing)
    rows = [{"pod": pod.name, "state": pod.state, "reason": pod.instance(more.get(pod.name, "")).reason,
             "node": pod.node, "restarts": pod.restarts} for pod in failing]  # fmt: skip
    return Fact(float(len(rows)), rows, "; ".join(f"{one['pod']}: {one['reason']}" for one in rows[:SHOWN]))


async def _autoscalers(cluster: ClusterConnector) -> list[Autoscaler]:
    return await cluster.once("autoscalers", lambda: autoscalers(cluster.kubernetes))


def _bounds(one: Autoscaler) -> dict[str, object]:
    return {
        "autoscaler": one.name,
        "workload": one.workload,
        "least": one.least,
        "most": one.most,
        "pods": one.current,
        "wanted": one.wanted,
        "metrics": list(one.metrics),
        "trouble": one.trouble,
    }


@observation(
    "cluster.autoscalers_at_most", Dimension.COUNT, of=CLUSTER, warning="> 0",
    doc="Autoscalers that have reached their most: more load finds no more pods. The detail has all of them.",
)  # fmt: skip
async def autoscalers_at_most(cluster: ClusterConnector) -> Fact:
    found = await _autoscalers(cluster)
    full = [
        f"{one.name} wants {one.wanted} of at most {one.most} ({', '.join(one.metrics)})"
        for one in found
        if one.at_most
    ]
    return Fact(float(len(full)), [_bounds(one) for one in found], "; ".join(full[:SHOWN]))


@observation(
    "cluster.autoscalers_blind", Dimension.COUNT, of=CLUSTER, warning="> 0",
    doc="Autoscalers that cannot do their work: no metrics, or a workload that is not there.",
)  # fmt: skip
async def autoscalers_blind(cluster: ClusterConnector) -> Fact:
    found = await _autoscalers(cluster)
    blind = [f"{one.name}: {one.trouble}" for one in found if one.trouble]
    return Fact(float(len(blind)), [_bounds(one) for one in found], "; ".join(blind[:SHOWN]))


async def _listed(cluster: ClusterConnector, group: str, versions: tuple[str, ...], plural: str) -> list[Object]:
    async def ask() -> list[Object]:
        path = await cluster.kubernetes.namespace.path(group, versions, plural)
        return [one async for one in cluster.kubernetes.api.pages(path)]

    return await cluster.once(plural, ask)


async def _empty_services(cluster: ClusterConnector) -> AsyncIterator[str]:
    endpoints = {one["metadata"]["name"]: one for one in await _listed(cluster, "", ("v1",), "endpoints")}
    for one in await _listed(cluster, "", ("v1",), "services"):
        name = one["metadata"]["name"]
        subsets = endpoints.get(name, {}).get("subsets") or []
        if one["spec"].get("selector") and not any(subset.get("addresses") for subset in subsets):
            yield name


@observation(
    "cluster.services_empty", Dimension.COUNT, of=CLUSTER, critical="> 0",
    doc="Services behind which no pod is ready: who calls them gets no answer.",
)  # fmt: skip
async def services_empty(cluster: ClusterConnector) -> Fact:
    empty = [name async for name in _empty_services(cluster)]
    return Fact(float(len(empty)), empty, ", ".join(empty[:SHOWN]))


@observation(
    "cluster.ingress_broken", Dimension.COUNT, of=CLUSTER, critical="> 0",
    doc="Paths of ingresses that lead to a service which is not there, or behind which no pod is ready.",
)  # fmt: skip
async def ingress_broken(cluster: ClusterConnector) -> Fact:
    services = {one["metadata"]["name"] for one in await _listed(cluster, "", ("v1",), "services")}
    empty = {name async for name in _empty_services(cluster)}
    ingresses = await _listed(cluster, "networking.k8s.io", ("v1", "v1beta1"), "ingresses")
    broken = [
        f"{one['metadata']['name']} {rule.get('host', '')}{path.get('path', '/')} → {service}"
        for one in ingresses
        for rule in one["spec"].get("rules") or []
        for path in (rule.get("http") or {}).get("paths") or []
        if (service := _service_of(path["backend"])) and (service not in services or service in empty)
    ]
    return Fact(float(len(broken)), broken, "; ".join(broken[:SHOWN]) or f"{len(ingresses)} ingresses")


def _service_of(backend: Object) -> str:
    return str(backend.get("serviceName") or (backend.get("service") or {}).get("name") or "")


@observation(
    "cluster.claims_unbound", Dimension.COUNT, of=CLUSTER, critical="> 0",
    doc="Claims of storage that have no volume.",
)  # fmt: skip
async def claims_unbound(cluster: ClusterConnector) -> Fact:
    claims = await _listed(cluster, "", ("v1",), "persistentvolumeclaims")
    rows = [
        {
            "claim": one["metadata"]["name"],
            "phase": one.get("status", {}).get("phase", ""),
            "size": one["spec"].get("resources", {}).get("requests", {}).get("storage"),
        }
        for one in claims
    ]
    unbound = [f"{one['claim']}: {one['phase']}" for one in rows if one["phase"] != "Bound"]
    return Fact(float(len(unbound)), rows, "; ".join(unbound[:SHOWN]))


@observation(
    "cluster.volume_usage", Dimension.RATIO, of=CLUSTER, cost=Cost.HEAVY, warning="> 80%", critical="> 90%",
    doc="How full the fullest volume of a claim is, as the kubelets measure it. Needs `get` of `nodes/proxy`.",
)  # fmt: skip
async def volume_usage(cluster: ClusterConnector) -> Fact:
    kubernetes, rows = cluster.kubernetes, []
    for node in await nodes(cluster):
        summary = await kubernetes.api.get(f"/api/v1/nodes/{node['metadata']['name']}/proxy/stats/summary")
        rows += [
            {"claim": volume["pvcRef"]["name"], "used": volume.get("usedBytes"), "capacity": volume["capacityBytes"]}
            for pod in summary.get("pods") or []
            for volume in pod.get("volume") or []
            if volume.get("pvcRef", {}).get("namespace") == kubernetes.namespace.name and volume.get("capacityBytes")
        ]
    if not rows:
        raise Absent("no kubelet measures a volume of this namespace")
    worst = max(rows, key=lambda one: one["used"] / one["capacity"])
    return Fact(worst["used"] / worst["capacity"], rows, f"{worst['claim']} is the fullest")


@observation(
    "cluster.certificate_left", Dimension.DURATION, of=CLUSTER, warning="< 21d", critical="< 7d",
    doc="Time until the first certificate of cert-manager expires; one that is not ready counts as expired.",
)  # fmt: skip
async def certificate_left(cluster: ClusterConnector) -> Fact:
    try:
        found = await _listed(cluster, "cert-manager.io", ("v1", "v1beta1", "v1alpha2"), "certificates")
    except NotThere as error:
        raise Absent("the cluster has no cert-manager") from error
    if not found:
        raise Absent("cert-manager holds no certificate in this namespace")
    now, rows = datetime.now(UTC), []
    for one in found:
        status = one.get("status") or {}
        ready: Object = {}
        for each in status.get("conditions") or []:
            ready = each if each["type"] == "Ready" else ready
        until = moment(status.get("notAfter"))
        left = (until - now).total_seconds() if until and ready.get("status") == "True" else 0.0
        rows.append(
            {
                "certificate": one["metadata"]["name"],
                "names": one["spec"].get("dnsNames") or [],
                "seconds_left": left,
                "trouble": "" if left else ready.get("message", "it is not issued"),
            }
        )
    first = min(rows, key=lambda each: each["seconds_left"])
    return Fact(first["seconds_left"], rows, f"{first['certificate']} {first['trouble']}".strip())


@observation(
    "cluster.pods_open", Dimension.COUNT, of=CLUSTER, cost=Cost.MODERATE,
    doc="Pods that no network policy guards: everything in the cluster may talk to them. The detail has every policy.",
)  # fmt: skip
async def pods_open(cluster: ClusterConnector) -> Fact:
    policies = [one for one in await _listed(cluster, "networking.k8s.io", ("v1",), "networkpolicies")
                if "Ingress" in (one["spec"].get("policyTypes") or ["Ingress"])]  # fmt: skip
    unguarded = []
    kubernetes = cluster.kubernetes
    async for pod in kubernetes.api.pages(kubernetes.namespace.core("pods")):
        labels = pod["metadata"].get("labels") or {}
        if not any(selects(one["spec"].get("podSelector") or {}, labels) for one in policies):
            unguarded.append(pod["metadata"]["name"])
    detail = {"policies": [one["metadata"]["name"] for one in policies], "open": sorted(unguarded)[:100]}
    return Fact(float(len(unguarded)), detail, f"{len(policies)} policies")
