"""A workload cut off from its networks while it goes on running, so that it can be looked into; and connected again."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.runtimes import compose_networks, kubernetes_isolation
from opsbook.connectors.runtimes.compose import Compose
from opsbook.connectors.runtimes.contract import Runtime, Unsupported
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_isolation import Proof
from opsbook.connectors.workload import workload_of
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation


class Reconnection(OperationParameters):
    network: str = Field("", description="one network, as the compose file names it; all of them where left out")


class Isolation(Reconnection):
    prove: Proof = Field(
        "must", description="on a cluster, look from within whether it is cut off: `must` takes it back and fails where"
        " the network enforces no policies, `tell` says so in the result (`enforced`)",
    )  # fmt: skip


def _able(runtime: Runtime) -> Compose | Kubernetes:
    """Raises Unsupported where the runtime can cut nothing off."""
    if "isolate" in runtime.capabilities and isinstance(runtime, Compose | Kubernetes):
        return runtime
    raise Unsupported(
        "this runtime cannot take a workload out of a network", "compose and kubernetes can; elsewhere stop it"
    )


@operation(
    "workload.isolate", Risk.DISRUPTIVE, of="workload", idempotent=True, parameters=Isolation,
    doc="Cuts the instances of a workload off from their networks; they go on running. Compose: taken out of them."
    " Kubernetes: by a network policy that lets nothing through, and by others leaving its pods out. Undo connects them"
    " again.",
)  # fmt: skip
class _Isolate(Repeatable):
    async def plan(self, parameters: Isolation, facts: Facts) -> AsyncIterator[Change]:
        workload, runtime = workload_of(facts.system, parameters.of), _able(facts.runtime)
        if isinstance(runtime, Compose):
            yield await compose_networks.isolated(runtime, workload, parameters.network)
            return
        try:
            yield await kubernetes_isolation.isolated(runtime, workload, parameters.network, parameters.prove)
        except (Refused, ReadFailed, Unsupported) as error:
            if parameters.prove != "tell":
                raise
            yield kubernetes_isolation.not_isolated(workload, error.message)


@operation(
    "workload.reconnect", Risk.SAFE, of="workload", idempotent=True, parameters=Reconnection,
    doc="Connects the instances of a workload to the networks that the compose file gives it; on Kubernetes takes the"
    " network policy of `workload.isolate` away.",
)  # fmt: skip
class _Reconnect(Repeatable):
    async def plan(self, parameters: Reconnection, facts: Facts) -> AsyncIterator[Change]:
        workload, runtime = workload_of(facts.system, parameters.of), _able(facts.runtime)
        if isinstance(runtime, Compose):
            yield await compose_networks.reconnected(runtime, workload, parameters.network)
        else:
            yield await kubernetes_isolation.reconnected(runtime, workload, parameters.network)
