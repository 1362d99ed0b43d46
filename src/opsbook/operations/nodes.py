"""Nodes of a cluster: kept free of new pods, emptied as disruption budgets allow, and used again."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change
from opsbook.connectors.cluster import kubernetes_of
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_api import NotThere, Object
from opsbook.connectors.runtimes.kubernetes_budgets import budgets_of
from opsbook.connectors.runtimes.kubernetes_drain import loses_data, pods_on, stays, words
from opsbook.connectors.runtimes.kubernetes_targets import KIND, Target, patched, verdict
from opsbook.errors import Absent, Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation


class Node(OperationParameters):
    node: str = Field(min_length=1, description="name of the node")


class Drain(Node):
    wait: float = Field(600, gt=0, le=86400, description="seconds without progress after which it counts as failed")
    lose_local_data: bool = Field(False, description="also evict pods whose `emptyDir` volumes go with them")


def _target(name: str) -> Target:
    return Target.of("Node", name)


async def _node(runtime: Kubernetes, name: str) -> Object:
    """The node. Raises Absent."""
    try:
        return await _target(name).read_now(runtime)
    except NotThere as error:
        raise Absent(f"the cluster has no node {name!r}", "`cluster.nodes_away` lists them") from error


async def _schedulable(runtime: Kubernetes, name: str, now: Object, *, usable: bool) -> Change:
    # The API server leaves `unschedulable` out where it is false.
    patch = {"spec": {"unschedulable": None if usable else True}}
    evidence = {"node": name, "unschedulable": bool(now["spec"].get("unschedulable"))}
    verb, undo = ("uncordon", "cordon") if usable else ("cordon", "uncordon")
    change = patched(_target(name), now, patch, verb=verb, undo_verb=undo, evidence=evidence)
    await verdict(runtime, change.effect, now)
    return change


class _Schedulable(Repeatable):
    usable: bool

    async def plan(self, parameters: Node, facts: Facts) -> AsyncIterator[Change]:
        runtime = kubernetes_of(facts.runtime)
        now = await _node(runtime, parameters.node)
        yield await _schedulable(runtime, parameters.node, now, usable=self.usable)


@operation(
    "node.cordon", Risk.SAFE, of="cluster", idempotent=True, parameters=Node,
    doc="Puts no new pods on a node; those that run stay.",
)  # fmt: skip
class _Cordon(_Schedulable):
    usable = False


@operation(
    "node.uncordon", Risk.SAFE, of="cluster", idempotent=True, parameters=Node,
    doc="Lets new pods be put on a node again. Nothing moves back by itself.",
)  # fmt: skip
class _Uncordon(_Schedulable):
    usable = True


@operation(
    "node.drain", Risk.DISRUPTIVE, of="cluster", idempotent=True, parameters=Drain,
    doc="Empties a node: nothing new is put on it, its pods are evicted as their disruption budgets allow. Undo uses it"
    " again.",
)  # fmt: skip
class _Drain(Repeatable):
    async def plan(self, parameters: Drain, facts: Facts) -> AsyncIterator[Change]:
        runtime = kubernetes_of(facts.runtime)
        now = await _node(runtime, parameters.node)
        pods = [pod for pod in await pods_on(runtime, parameters.node) if not stays(pod)]
        lonely = [words(pod) for pod in pods if not pod["metadata"].get("ownerReferences")]
        if lonely:
            raise Refused(
                f"nothing would bring these pods back: {', '.join(sorted(lonely))}",
                "let a controller hold them, or end them by hand",
            )
        losing = sorted(words(pod) for pod in pods if loses_data(pod))
        if losing and not parameters.lose_local_data:
            raise Refused(
                f"these pods keep data on {parameters.node} that would go with them: {', '.join(losing)}",
                "set `lose_local_data: true` where that may be lost",
            )
        blocked = await budgets_of(runtime, pods)
        yield await _schedulable(runtime, parameters.node, now, usable=False)
        effect = {"verb": "drain", "object": _target(parameters.node).said(), "wait": parameters.wait}
        evidence = {"pods": sorted(words(pod) for pod in pods), "budgets_that_say_no_now": blocked}
        yield Change(KIND, effect, evidence, {"uid": now["metadata"]["uid"]},
                     "nothing to undo: the pods run elsewhere")  # fmt: skip
