"""CPU and memory that a workload uses."""

from __future__ import annotations

from pydantic import Field

from opsbook.book.catalogue import Cost, Parameters
from opsbook.book.units import Dimension
from opsbook.book.values import Size
from opsbook.connectors.contract import Connector, Fact, ReadFailed
from opsbook.connectors.runtimes.contract import Usage
from opsbook.connectors.workload import workload_name
from opsbook.observations.registry import Absent, observation
from opsbook.observations.workload import WORKLOAD


class LimitParameters(Parameters):
    """What its memory is held against."""

    limit: Size | None = Field(None, description="memory that it may use; the runtime's own limit where left out")


async def usage(connector: Connector) -> Usage:
    """What it uses, measured once for all facts of a sweep."""
    runtime = connector.connections.runtime
    if "resources" not in runtime.capabilities:
        raise ReadFailed("the runtime cannot tell what its workloads use")

    async def ask() -> Usage:
        return await runtime.resources(await workload_name(connector))

    return await connector.once("workload usage", ask)


@observation(
    "workload.cpu",
    Dimension.RATIO,
    of=WORKLOAD,
    cost=Cost.MODERATE,
    doc="Share of its CPU limit that it uses, all instances together; without a limit, of all cores of the host.",
)
async def cpu(connector: Connector) -> Fact:
    found = await usage(connector)
    if not found.cpu_limit:
        raise Absent(
            f"{await workload_name(connector)} has no CPU limit, so that there is nothing to hold its use against"
        )
    detail = {"cores": found.cpu, "limit": found.cpu_limit}
    return Fact(found.cpu / found.cpu_limit, detail, f"{found.cpu:.2f} cores")


@observation(
    "workload.cores",
    Dimension.COUNT,
    of=WORKLOAD,
    cost=Cost.MODERATE,
    doc="Cores that it uses, all instances and their children together; `opsbook advise` reads its stored values.",
)
async def cores(connector: Connector) -> float:
    return (await usage(connector)).cpu


@observation(
    "workload.memory",
    Dimension.SIZE,
    of=WORKLOAD,
    cost=Cost.MODERATE,
    doc="Memory that it uses, all instances and their children together; shared pages count once.",
)
async def memory(connector: Connector) -> float:
    return (await usage(connector)).memory


@observation(
    "workload.memory_ratio",
    Dimension.RATIO,
    of=WORKLOAD,
    parameters=LimitParameters,
    cost=Cost.MODERATE,
    warning="> 85%",
    doc="Share of its memory limit that it uses; without a limit, of the memory of the host.",
)
async def memory_ratio(connector: Connector, said: LimitParameters) -> Fact:
    found = await usage(connector)
    limit = said.limit or found.memory_limit
    if not limit:
        raise Absent(f"{await workload_name(connector)} has no memory limit; say one with `limit`")
    return Fact(found.memory / limit, {"memory": found.memory, "limit": limit})
