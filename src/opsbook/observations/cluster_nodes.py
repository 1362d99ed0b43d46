"""The cluster's server and its nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opsbook.book.units import Dimension
from opsbook.connectors.cluster import ClusterConnector
from opsbook.connectors.contract import Fact
from opsbook.connectors.runtimes.kubernetes_api import Object
from opsbook.observations.registry import observation

CLUSTER = "cluster"
PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")


async def nodes(cluster: ClusterConnector) -> list[Object]:
    """The nodes, listed once for all facts of a sweep."""

    async def listed() -> list[Object]:
        return [one async for one in cluster.kubernetes.api.pages("/api/v1/nodes")]

    return await cluster.once("nodes", listed)


def conditions(node: Object) -> dict[str, Object]:
    """Its conditions by type."""
    return {one["type"]: one for one in node.get("status", {}).get("conditions") or []}


def row(node: Object) -> dict[str, Any]:
    """A node, for people."""
    found, status = conditions(node), node.get("status", {})
    ready = found.get("Ready", {})
    return {
        "node": node["metadata"]["name"],
        "ready": ready.get("status") == "True",
        "reason": "" if ready.get("status") == "True" else ready.get("message", ""),
        "unschedulable": bool(node["spec"].get("unschedulable")),
        "pressure": list(_pressures(found)),
        "version": status.get("nodeInfo", {}).get("kubeletVersion", ""),
        "cpu": status.get("allocatable", {}).get("cpu"),
        "memory": status.get("allocatable", {}).get("memory"),
    }


def _pressures(found: dict[str, Object]) -> Iterator[str]:
    for name in PRESSURES:
        if found.get(name, {}).get("status") == "True":
            yield name


@observation(
    "cluster.up", Dimension.STATE, of=CLUSTER, vital=True, critical="is down",
    doc="Whether the API server of the cluster answers.",
)  # fmt: skip
async def up(cluster: ClusterConnector) -> Fact:
    major, minor = await cluster.kubernetes.api.version()
    return Fact(True, message=f"Kubernetes {major}.{minor}")


@observation(
    "cluster.nodes_away", Dimension.COUNT, of=CLUSTER, critical="> 0",
    doc="Nodes that are not ready: nothing is heard of them, or they say so themselves. The detail has every node.",
)  # fmt: skip
async def nodes_away(cluster: ClusterConnector) -> Fact:
    rows = [row(one) for one in await nodes(cluster)]
    away = [f"{one['node']}: {one['reason']}" for one in rows if not one["ready"]]
    return Fact(float(len(away)), rows, "; ".join(away[:5]) or f"{len(rows)} nodes")


@observation(
    "cluster.nodes_pressed", Dimension.COUNT, of=CLUSTER, warning="> 0",
    doc="Nodes that lack memory, disk or process ids, so that they evict pods.",
)  # fmt: skip
async def nodes_pressed(cluster: ClusterConnector) -> Fact:
    rows = [row(one) for one in await nodes(cluster)]
    pressed = [f"{one['node']}: {', '.join(one['pressure'])}" for one in rows if one["pressure"]]
    return Fact(float(len(pressed)), rows, "; ".join(pressed))


@observation(
    "cluster.nodes_closed", Dimension.COUNT, of=CLUSTER, warning="> 0",
    doc="Nodes on which no new pods are put: cordoned, or drained and not used again.",
)  # fmt: skip
async def nodes_closed(cluster: ClusterConnector) -> Fact:
    rows = [row(one) for one in await nodes(cluster)]
    closed = [str(one["node"]) for one in rows if one["unschedulable"]]
    return Fact(float(len(closed)), rows, ", ".join(closed))
