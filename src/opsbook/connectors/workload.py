"""Components that are only a workload in the runtime: a scheduler, a job runner. They have no port to ask."""

from __future__ import annotations

from typing import Literal

from opsbook.book.catalogue import Component
from opsbook.book.system import System
from opsbook.connectors.contract import Connector
from opsbook.connectors.registry import connector
from opsbook.connectors.runtimes.contract import Runtime, Status
from opsbook.connectors.sides import serving_workload
from opsbook.errors import Absent


class WorkloadComponent(Component):
    """A workload without an interface of its own. Its name in the runtime is `workload`, or its own."""

    kind: Literal["workload"]


@connector(WorkloadComponent)
class WorkloadConnector(Connector):
    """Nothing is opened; what it is asked, the runtime answers."""


async def workload_name(connector: Connector) -> str:
    """The name of a component in its runtime; of one with two sides, that of the side which has the traffic."""

    async def ask() -> str:
        return await serving_workload(connector.connections, connector.name) or connector.name

    return await connector.once("workload name", ask)


def workload_of(system: System, component: str) -> str:
    """The name of a component's workload in the runtime. Raises Absent for one without."""
    settings = system.components[component]
    found = settings.workload or (component if isinstance(settings, WorkloadComponent) else "")
    if not found:
        raise Absent(f"{component} has no workload in the runtime", f"set `workload` of {component} in book.yaml")
    return found


async def status(connector: Connector) -> Status:
    """Its status, asked once for all facts of a sweep."""
    runtime: Runtime = connector.connections.runtime

    async def ask() -> Status:
        return await runtime.status(await workload_name(connector))

    return await connector.once("workload status", ask)
