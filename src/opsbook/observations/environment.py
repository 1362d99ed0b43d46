"""Whether a workload has the environment variables that the book says it needs. Names only: values are secret."""

from __future__ import annotations

from pydantic import Field

from opsbook.book.catalogue import Parameters
from opsbook.book.units import Dimension
from opsbook.connectors.contract import Connector, Fact, ReadFailed
from opsbook.connectors.workload import workload_name
from opsbook.observations.registry import Absent, observation


class NamesParameters(Parameters):
    """Which variables."""

    names: tuple[str, ...] = Field((), description="variables that it needs; `env` of the component where left out")


@observation(
    "environment.missing",
    Dimension.COUNT,
    of="workload",
    parameters=NamesParameters,
    critical="> 0",
    follows=False,
    doc="Environment variables that the workload needs and that are not set, or empty. The detail has their names.",
)
async def missing(connector: Connector, said: NamesParameters) -> Fact:
    names = said.names or connector.component.env
    if not names:
        raise Absent(f"the book names no variables that {connector.name} needs (`env`)")
    runtime = connector.connections.runtime
    if "environment" not in runtime.capabilities:
        raise ReadFailed("the runtime cannot tell the environment of its workloads")
    seen = await runtime.environment(await workload_name(connector))
    lacking = [name for name in names if not seen.get(name)]
    detail = {"missing": lacking, "set": [name for name in names if name not in lacking]}
    return Fact(float(len(lacking)), detail, "not set: " + ", ".join(lacking) if lacking else "all are set")
