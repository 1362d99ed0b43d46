"""Components that are only a workload in the runtime: a scheduler, a job runner. They have no port to ask."""

from __future__ import annotations

from typing import Literal

from opsbook.book.catalogue import Component
from opsbook.connectors.contract import Connector
from opsbook.connectors.registry import connector
from opsbook.connectors.runtimes.contract import Runtime, Status


class WorkloadComponent(Component):
    """A workload without an interface of its own. Its name in the runtime is `workload`, or its own."""

    kind: Literal["workload"]


@connector(WorkloadComponent)
class WorkloadConnector(Connector):
    """Nothing is opened; what it is asked, the runtime answers."""


def workload_name(connector: Connector) -> str:
    """The name of a component in its runtime."""
    return connector.component.workload or connector.name


async def status(connector: Connector) -> Status:
    """Its status, asked once for all facts of a sweep."""
    runtime: Runtime = connector.connections.runtime
    return await connector.once("workload status", lambda: runtime.status(workload_name(connector)))
