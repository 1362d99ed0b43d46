"""A node of a disposable cluster taken out for work, and used again. Nobody else may have pods there meanwhile."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from opsbook.book.system import System
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_wait import NotReady
from opsbook.errors import Absent
from tests.integration.cluster import BEAT, Cluster, deployment, new_namespace, on_cluster, python
from tests.integration.hands import Hands, hands_of

pytestmark = [*on_cluster("deploys", 600), pytest.mark.alone]
OPSBOOK = Path(sys.executable).with_name("opsbook")
READY = {"exec": {"command": ["true"]}, "periodSeconds": 1}
COMPONENTS: dict[str, dict[str, Any]] = {
    "cluster": {"kind": "cluster"}, "web": {"kind": "workload"}, "worker": {"kind": "workload", "replicas": 1}
}  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    strategy = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    web = deployment("web", python("web", BEAT, readinessProbe=READY), replicas=2, strategy=strategy)
    with new_namespace(web, deployment("worker", python("worker", BEAT)), only=True) as one:
        yield one


@pytest.fixture
async def hands(cluster: Cluster) -> AsyncIterator[Hands]:
    async with hands_of(cluster.system(COMPONENTS)) as one:
        yield one


def opsbook(system: System, *arguments: str) -> dict[str, Any]:
    argv = [str(OPSBOOK), *arguments, "--book", str(system.folder), "--format", "json"]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, check=False
    )  # fmt: skip
    assert done.stdout, done.stderr
    view: dict[str, Any] = json.loads(done.stdout)
    return view


async def test_a_drain_respects_budgets_and_is_undone(hands: Hands, cluster: Cluster) -> None:
    runtime = hands.connections.runtime
    assert isinstance(runtime, Kubernetes)
    nodes = [one["metadata"]["name"] async for one in runtime.api.pages("/api/v1/nodes")]
    assert len(nodes) > 1, "the cluster that is given has one node only"
    budget = {"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
              "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}}}  # fmt: skip
    cluster.make({**budget})
    await hands.do("workload.scale", of="web", replicas=2, wait=60)
    node = next(pod.node for pod in await runtime.pods("web"))
    cordon, drain = await hands.plan("node.drain", of="cluster", node=node, wait=3, lose_local_data=True)
    try:
        async with asyncio.timeout(30):
            while not drain.evidence["budgets_that_say_no_now"]:  # its controller has just heard of it
                cordon, drain = await hands.plan("node.drain", of="cluster", node=node, wait=3, lose_local_data=True)
        await hands.apply(cordon)
        closed = await hands.facts.observe("cluster.nodes_closed", "cluster")
        assert closed.value == 1
        with pytest.raises(NotReady, match="disruption budget web needs 2"):
            await hands.apply(drain)
        assert (await hands.connections.runtime.status("web")).workload.ready == 2
        cluster.remove(budget)
        _, again = await hands.plan("node.drain", of="cluster", node=node, wait=60, lose_local_data=True)
        await hands.apply(again)
        async with asyncio.timeout(60):
            while (await hands.connections.runtime.status("web")).workload.ready < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        assert node not in {pod.node for pod in await runtime.pods("web") if not pod.ending}
    finally:
        cluster.remove(budget)
        await hands.undo(cordon)
    assert (await hands.facts.observe("cluster.nodes_closed", "cluster")).value == 0
    with pytest.raises(Absent, match="no node 'nobody'"):
        await hands.plan("node.drain", of="cluster", node="nobody")


async def test_a_node_is_emptied_worked_on_and_used_again(cluster: Cluster) -> None:
    system = cluster.system(COMPONENTS, checks=[{"id": "worker", "observe": "workload.missing", "of": "worker"}])
    async with hands_of(system) as hands:
        await hands.do("workload.scale", of="worker", replicas=1)
        (pod,) = await hands.connections.runtime.pods("worker")  # type: ignore[attr-defined]
    view = opsbook(system, "run", "maintain-node", f"node={pod.node}", "lose_local_data=true", "--yes")
    try:
        assert view["state"] == "waits for a person", view["message"]
        async with hands_of(system) as hands:
            pods = await hands.connections.runtime.pods("worker")  # type: ignore[attr-defined]
            assert not any(one.node == pod.node and not one.ending for one in pods), "it is empty"
        view = opsbook(system, "runs", "tick", view["id"])
        assert view["state"] == "done", view["message"]
    finally:
        async with hands_of(system) as hands:
            await hands.do("node.uncordon", of="cluster", node=pod.node)
    async with hands_of(system) as hands:
        assert (await hands.connections.runtime.status("worker")).workload.ready == 1
