"""What the credential of opsbook may do in the namespace, held against what the book needs."""

from __future__ import annotations

from opsbook.book.units import Dimension
from opsbook.connectors.cluster import ClusterConnector
from opsbook.connectors.contract import Fact
from opsbook.connectors.runtimes.kubernetes_rbac import KNOWN, Review, needed, review
from opsbook.observations.cluster_nodes import CLUSTER
from opsbook.observations.registry import observation

SHOWN = 8


async def reviewed(cluster: ClusterConnector, operations: tuple[str, ...]) -> Review:
    """The server's own list of what this credential may, against what these operations need."""
    granted = await cluster.once("access", cluster.kubernetes.rights)
    return review(granted, needed(cluster.system, operations))


@observation(
    "cluster.access_beyond", Dimension.COUNT, of=CLUSTER, warning="> 0",
    doc="What the credential may do in the namespace that no operation of opsbook needs there. `opsbook generate rbac`"
    " writes the least role.",
)  # fmt: skip
async def access_beyond(cluster: ClusterConnector) -> Fact:
    found = await reviewed(cluster, KNOWN)
    more = f" and {len(found.beyond) - SHOWN} more" if len(found.beyond) > SHOWN else ""
    return Fact(float(len(found.beyond)), {"beyond": list(found.beyond)}, ", ".join(found.beyond[:SHOWN]) + more)


@observation(
    "cluster.access_lacking", Dimension.COUNT, of=CLUSTER, critical="> 0",
    doc="What the credential may not read in the namespace, and opsbook needs to tell how the system is.",
)  # fmt: skip
async def access_lacking(cluster: ClusterConnector) -> Fact:
    found = await reviewed(cluster, ())
    return Fact(float(len(found.lacking)), {"lacking": list(found.lacking)}, ", ".join(found.lacking[:SHOWN]))
