"""A workload cut off from its networks while it goes on running, so that it can be looked into; and connected again."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change
from opsbook.connectors.runtimes import compose_networks
from opsbook.connectors.runtimes.compose import Compose
from opsbook.connectors.runtimes.contract import Runtime, Unsupported
from opsbook.connectors.workload import workload_of
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation


class Isolation(OperationParameters):
    network: str = Field("", description="one network, as the compose file names it; all of them where left out")


def _compose(runtime: Runtime) -> Compose:
    """Raises Unsupported where the runtime connects no networks."""
    if "isolate" in runtime.capabilities and isinstance(runtime, Compose):
        return runtime
    raise Unsupported(
        "this runtime cannot take a workload out of a network", "compose can; elsewhere stop the workload"
    )


@operation(
    "workload.isolate", Risk.DISRUPTIVE, of="workload", idempotent=True, parameters=Isolation,
    doc="Takes the instances of a workload out of their networks; they go on running. Undo connects them again.",
)  # fmt: skip
class _Isolate(Repeatable):
    async def plan(self, parameters: Isolation, facts: Facts) -> AsyncIterator[Change]:
        workload = workload_of(facts.system, parameters.of)
        yield await compose_networks.isolated(_compose(facts.runtime), workload, parameters.network)


@operation(
    "workload.reconnect", Risk.SAFE, of="workload", idempotent=True, parameters=Isolation,
    doc="Connects the instances of a workload to the networks that the compose file gives it.",
)  # fmt: skip
class _Reconnect(Repeatable):
    async def plan(self, parameters: Isolation, facts: Facts) -> AsyncIterator[Change]:
        workload = workload_of(facts.system, parameters.of)
        yield await compose_networks.reconnected(_compose(facts.runtime), workload, parameters.network)
