"""Waiting until the system is well, and bringing a workload up whatever its state: pieces of larger procedures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Name
from opsbook.connectors.change import Change
from opsbook.connectors.cluster import kubernetes_of
from opsbook.connectors.runtimes.contract import Verb
from opsbook.connectors.workload import workload_name
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation
from opsbook.operations.workloads import Workload, change_of, gate

NOTHING = "nothing to undo: waiting changes nothing"
COMING = frozenset({"STARTING", "BACKOFF", "starting", "restarting", "running", "Running", "unhealthy"})
"""States of instances that are not ready and have a process, or are about to."""


class Renew(Workload):
    pass


@operation(
    "workload.renew", Risk.DISRUPTIVE, of="workload", idempotent=True, parameters=Renew,
    doc="Restarts a workload that runs, one instance at a time, and starts one that is down.",
)  # fmt: skip
class _Renew(Repeatable):
    async def plan(self, parameters: Renew, facts: Facts) -> AsyncIterator[Change]:
        status = await facts.runtime.status(await workload_name(facts.connector(parameters.of)))
        runs = any(one.ready or one.state in COMING for one in status.instances)
        arguments: dict[str, Any] = {"wait": parameters.wait}
        replicas = facts.system.components[parameters.of].replicas
        if not runs and replicas:
            arguments["replicas"] = replicas
        yield await change_of(facts, parameters.of, Verb.RESTART if runs else Verb.START, arguments)
        if (wait := gate(facts, parameters)) is not None:
            yield wait


class Well(OperationParameters):
    checks: tuple[Name, ...] = Field((), description="checks that must be well; all of the component where left out")
    within: float = Field(120, gt=0, le=86400, description="seconds that it may take")


@operation(
    "checks.wait", Risk.READ, of="any", idempotent=True, parameters=Well,
    doc="Waits until none of these checks is critical or unknown; fails where that takes too long.",
)  # fmt: skip
class _Well(Repeatable):
    async def plan(self, parameters: Well, facts: Facts) -> AsyncIterator[Change]:
        known = {one.id: one for one in facts.system.checks}
        if unknown := [name for name in parameters.checks if name not in known]:
            raise Refused(f"the book has no check named {unknown[0]}", "`opsbook check` shows them")
        chosen = parameters.checks or tuple(name for name, one in known.items() if one.of == parameters.of)
        if not chosen:
            raise Refused(f"the book has no check of {parameters.of}", "name some with `checks`")
        yield Change("settle", {"checks": list(chosen), "within": parameters.within}, inverse=NOTHING)


class NodeServes(OperationParameters):
    node: str = Field(min_length=1, description="name of the node")
    within: float = Field(600, gt=0, le=86400, description="seconds that it may take")


@operation(
    "node.wait", Risk.READ, of="cluster", idempotent=True, parameters=NodeServes,
    doc="Waits until a node is ready and takes pods.",
)  # fmt: skip
class _NodeServes(Repeatable):
    async def plan(self, parameters: NodeServes, facts: Facts) -> AsyncIterator[Change]:
        kubernetes_of(facts.runtime)
        yield Change("settle", {"node": parameters.node, "within": parameters.within}, inverse=NOTHING)
