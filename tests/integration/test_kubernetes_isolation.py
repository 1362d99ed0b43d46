"""A workload cut off by a network policy: others leave its pods out, and what the network makes of it is told."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.inside.look import Answer, Question
from opsbook.connectors.runtimes import kubernetes_isolation
from opsbook.connectors.runtimes.contract import Runtime
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_api import NotThere, Object
from opsbook.connectors.runtimes.kubernetes_rbac import manifests, needed
from opsbook.errors import Refused
from tests.integration.cluster import SERVE as ANSWERS
from tests.integration.cluster import Cluster, deployment, new_namespace, on_cluster, python, service
from tests.integration.hands import Hands, hands_of
from tests.integration.renec_book import OPSBOOK

pytestmark = on_cluster("systems")

COMPONENTS: dict[str, dict[str, Any]] = {name: {"kind": "workload"} for name in ("web", "db", "twin")}
ALL_IN = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}
OUT = {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"], "egress": [{}]}


def policy(name: str, spec: Object) -> Object:
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with new_namespace(
        *(deployment(name, python(name, ANSWERS)) for name in ("web", "db")), service("web", 8000), service("db", 8000),
        policy("all-in", ALL_IN), policy("out", OUT), policy("nothing", {"podSelector": {}, "policyTypes": ["Egress"]}),
    ) as one:  # fmt: skip
        yield one


@pytest.fixture
async def hands(cluster: Cluster) -> AsyncIterator[Hands]:
    async with hands_of(cluster.system(COMPONENTS)) as one:
        await one.do("workload.start", of="web")
        yield one


async def policies(hands: Hands) -> dict[str, Object]:
    runtime = hands.connections.runtime
    assert isinstance(runtime, Kubernetes)
    path = await runtime.namespace.path("networking.k8s.io", ("v1",), "networkpolicies")
    return {one["metadata"]["name"]: one["spec"] async for one in runtime.api.pages(path)}


async def test_others_leave_its_pods_out_and_it_is_all_taken_back(hands: Hands) -> None:
    before = await policies(hands)
    (change,) = await hands.plan("workload.isolate", of="web", prove="no")
    assert await policies(hands) == before, "planning changes nothing"
    assert "CNI" in change.evidence["note"]
    assert change.effect["others"] == ["all-in", "out"], "one that lets nothing through may stay"
    told = await hands.apply(change)
    assert told["enforced"] is None
    now = await policies(hands)
    assert now["opsbook-isolate-web"] == {
        "podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress", "Egress"]}  # fmt: skip
    apart = {"key": "app", "operator": "NotIn", "values": ["web"]}
    assert now["all-in"] == {**ALL_IN, "podSelector": {"matchExpressions": [apart]}}
    assert now["out"]["podSelector"]["matchExpressions"] == [apart]
    await hands.apply(change)
    assert await policies(hands) == now, "twice is once"
    (again,) = await hands.plan("workload.isolate", of="web", prove="no")
    assert again.effect == change.effect, "planned again it is the same"
    await hands.undo(change)
    assert await policies(hands) == before
    await hands.undo(change)

    await hands.apply(change)
    (back,) = await hands.plan("workload.reconnect", of="web")
    await hands.apply(back)
    assert await policies(hands) == before, "without the plan it is found in its annotation"
    await hands.undo(back)
    assert await policies(hands) == now
    await hands.do("workload.reconnect", of="web")
    (none,) = await hands.plan("workload.reconnect", of="web")
    assert none.inverse == "nothing to undo: it is connected already"


async def test_a_network_that_enforces_nothing_is_found_out(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of this cluster does not: a bridge without a controller of policies."""
    monkeypatch.setattr(kubernetes_isolation, "PROOF_SECONDS", 2.0)
    before = await policies(hands)
    (change,) = await hands.plan("workload.isolate", of="web")
    with pytest.raises(ChangeFailed, match="does not enforce network policies; the policy was"):
        await hands.apply(change)
    assert await policies(hands) == before, "what cuts nothing is not left behind"
    told = await hands.do("workload.isolate", of="web", prove="tell")
    assert told["enforced"] is False
    await hands.do("workload.reconnect", of="web")


async def test_a_network_that_enforces_it_is_proven(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    real = kubernetes_isolation.look

    async def look(
        runtime: Runtime, workload: str, questions: Sequence[Question], seconds: float, *, every: bool
    ) -> list[Answer]:
        """As a network that does what policies say: nothing is reached while the policy is there."""
        answers = await real(runtime, workload, questions, seconds, every=every)
        cut = "opsbook-isolate-web" in await policies(hands)
        return [replace(one, ok=False, words="timed out") if cut and one.ok else one for one in answers]

    monkeypatch.setattr(kubernetes_isolation, "look", look)
    (change,) = await hands.plan("workload.isolate", of="web")
    told = await hands.apply(change)
    assert told["enforced"] is True
    assert "web is cut off: its pods reached" in told["words"]
    again = await hands.apply(change)
    assert again["enforced"] is True, "after a crash it is known what was reached before the policy was there"
    await hands.undo(change)


async def test_where_no_label_tells_its_pods_apart_it_is_refused(hands: Hands, cluster: Cluster) -> None:
    twin = deployment("twin", python("twin", ANSWERS))
    twin["spec"]["selector"]["matchLabels"] = twin["spec"]["template"]["metadata"]["labels"] = {"app": "web", "x": "y"}
    cluster.make(twin)
    try:
        await hands.do("workload.start", of="twin")
        with pytest.raises(Refused, match="no label tells its pods from those of others"):
            await hands.plan("workload.isolate", of="web")
        (told,) = await hands.plan("workload.isolate", of="web", prove="tell")
        assert (await hands.apply(told))["enforced"] is False
        (change,) = await hands.plan("workload.isolate", of="twin", prove="no")
        assert change.effect["apart"] == {"key": "x", "operator": "NotIn", "values": ["y"]}
    finally:
        cluster.remove(twin)
        await _ending(hands, "x=y")


async def test_contain_stops_what_the_network_does_not_cut_off_and_release_brings_it_back(
    hands: Hands, cluster: Cluster, tmp_path: Path
) -> None:
    runtime = {"kind": "kubernetes", "namespace": cluster.namespace}
    book = {"opsbook": 1, "system": "cut", "environments": {"test": {"policy": "open", "runtime": runtime}},
            "components": COMPONENTS}  # fmt: skip
    (tmp_path / "book.yaml").write_text(yaml.safe_dump(book))

    def run(name: str) -> dict[str, Any]:
        argv = [str(OPSBOOK), "run", name, "--yes", "--format", "json", "--book", str(tmp_path)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, check=False)
        assert done.stdout, done.stderr
        view: dict[str, Any] = json.loads(done.stdout)
        return view

    view = run("contain-web")
    states = {step["id"]: step["state"] for step in view["steps"]}
    assert states["cut"] == states["stop"] == "done", view["message"]
    assert "opsbook-isolate-web" in await policies(hands), "it stays: it takes nothing away"
    assert (await hands.connections.runtime.status("web")).workload.wanted == 0
    await hands.do("workload.reconnect", of="web")


async def test_the_generated_role_is_enough(hands: Hands, cluster: Cluster) -> None:
    system = cluster.system(COMPONENTS)
    rights = needed(system, {"workload.isolate"})
    (role,) = [one for one in manifests(rights, cluster.namespace) if one["kind"] == "Role"]
    verbs = next(rule["verbs"] for rule in role["rules"] if "networkpolicies" in rule["resources"])
    assert set(verbs) == {"get", "list", "create", "patch", "delete"}
    with pytest.raises(NotThere):
        runtime = hands.connections.runtime
        assert isinstance(runtime, Kubernetes)
        await runtime.api.get(await runtime.namespace.path("networking.k8s.io", ("v1",), "networkpolicies", "nobody"))


async def _ending(hands: Hands, selector: str) -> None:
    """Until nothing keeps running whose owner was removed."""
    runtime = hands.connections.runtime
    assert isinstance(runtime, Kubernetes)
    async with asyncio.timeout(60):
        while True:
            pods = runtime.api.pages(runtime.namespace.core("pods"), {"labelSelector": selector})
            if all(["deletionTimestamp" in one["metadata"] async for one in pods]):
                return
            await asyncio.sleep(0.2)
