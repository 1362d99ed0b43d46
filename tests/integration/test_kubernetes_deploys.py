"""Deploys on a real cluster, under load: no request is lost, and what is bad goes back by itself."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.faults.deadly import Fault
from tests.faults.deploy_kills import Deployed
from tests.faults.kills import Count
from tests.integration.cluster import new_namespace, on_cluster
from tests.integration.cut import Cut
from tests.integration.kubernetes_shop import SIDES, Shop, book, objects
from tests.integration.servers import until

pytestmark = on_cluster("deploys", 400)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with new_namespace(*objects()) as cluster:
        one = Shop(cluster, book(cluster, tmp_path_factory.mktemp("shop") / "ops"))
        one.scale("api", 2)
        one.scale("ask", 1)
        yield one


def test_a_version_is_switched_under_load_and_rolled_back_without_a_lost_request(shop: Shop) -> None:
    with shop.asked() as requests:
        view = shop.run("deploy", "api", "2")
        assert view["state"] == "done", view["message"]
        assert shop.serving() == ("green", "2")
        assert shop.get("Deployment", "api")["spec"]["replicas"] == 0, "the old side was stopped"
        assert shop.get("Deployment", "api-green")["spec"]["replicas"] == 2, "as many as served before"
        assert shop.get("HorizontalPodAutoscaler", "api")["spec"]["scaleTargetRef"]["name"] == "api-green"
        back = shop.run("rollback", "api")
        assert back["state"] == "done", back["message"]
        assert shop.serving() == ("green", "1")
    assert set(requests) == {"200"}, requests
    assert requests["200"] > 100


@pytest.mark.parametrize("fault", ["errors", *(pytest.param(f, marks=pytest.mark.thorough) for f in ("slow", "wrong"))])
def test_a_version_that_is_worse_goes_back_by_itself(shop: Shop, fault: str) -> None:
    before = shop.serving()
    other = "2" if before[1] == "1" else "1"
    shop.fault(other, fault)
    try:
        with shop.asked() as requests:
            view = shop.run("deploy", "api", other)
    finally:
        shop.fault(other, "")
    assert view["state"] == "undone", view["message"]
    assert shop.serving() == before
    serves = "api" if before[0] == "blue" else "api-green"
    assert shop.get("HorizontalPodAutoscaler", "api")["spec"]["scaleTargetRef"]["name"] == serves
    assert requests["200"] > 0


def test_a_deploy_that_is_killed_at_its_steps_ends_with_one_version_that_serves(shop: Shop, tmp_path: Path) -> None:
    """`make faults` kills it at every place, and one that goes back."""
    count = Count()
    faults = [Fault("bring-up/1", "middle", 1.0), Fault("switch/0", "noted"), Fault("switch/1", "after"),
              Fault("watch/0", "middle", 1.0), Fault("retire/0", "middle", 0.3)]  # fmt: skip
    Deployed(shop, bad=False, faults=faults, folder=tmp_path / "good", count=count).see_through()
    assert count.wrong == []
    assert count.kills >= 4, count


def test_one_that_never_becomes_ready_or_crashes_meets_nobody(shop: Shop, tmp_path: Path) -> None:
    impatient = {"watch": "8s", "wait": "6s", "components": {"api": SIDES}}
    ops = book(shop.cluster, tmp_path / "ops", deploys=impatient)
    before = shop.serving()
    other = "2" if before[1] == "1" else "1"
    with shop.asked() as requests:
        shop.fault(other, "never-ready")
        view = shop.run("deploy", "api", other, ops=ops)
        shop.fault(other, "")
    assert view["state"] == "undone", view["message"]
    assert "not ready after 6 s" in view["message"]
    assert shop.serving() == before
    assert set(requests) == {"200"}, requests
    shop.fault(other, "crash")
    view = shop.run("deploy", "api", other)
    shop.fault(other, "")
    assert view["state"] == "undone", view["message"]
    assert shop.serving() == before


def given_by(way: Cut | None = None) -> tuple[dict[str, Any], int]:
    """The kubeconfig of the tests, by way of that; and the port of its server."""
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    server = urlsplit(config["clusters"][0]["cluster"]["server"])
    assert server.hostname == "127.0.0.1", "the cluster that is given is not on this host"
    if way is not None:
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{way.port}"
    return config, server.port or 443


def test_an_api_server_that_is_away_for_a_while_ends_no_deploy(shop: Shop, tmp_path: Path) -> None:
    """Its way is cut in the test, so that nobody else of the cluster is without it."""
    way = Cut(given_by()[1])
    config, _ = given_by(way)
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    ops = book(shop.cluster, tmp_path / "ops", kubeconfig=str(tmp_path / "kubeconfig"))
    before = shop.serving()
    idle = "api-green" if before[0] == "blue" else "api"
    try:
        with shop.asked() as requests, ThreadPoolExecutor(1) as thread:
            running = thread.submit(lambda: shop.run("deploy", "api", "2" if before[1] == "1" else "1", ops=ops))
            until(lambda: shop.get("Deployment", idle)["spec"]["replicas"], 120, "the idle side is brought up")
            way.cut()
            time.sleep(12)  # this is the fault itself, and no wait for a state
            way.join()
            view = running.result()
        assert view["state"] == "done", view["message"]
        assert shop.serving()[0] != before[0]
        assert set(requests) == {"200"}, requests
    finally:
        way.cut()


ACCOUNT = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "deployer"}}
RBAC = "rbac.authorization.k8s.io"
MAY_ALL: list[dict[str, Any]] = [
    {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": {"name": "deployer"},
     "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]},
    {"apiVersion": f"{RBAC}/v1", "kind": "RoleBinding", "metadata": {"name": "deployer"},
     "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "deployer"},
     "subjects": [{"kind": "ServiceAccount", "name": "deployer"}]},
]  # fmt: skip


def test_a_credential_that_is_revoked_in_the_middle_is_said_and_gone_on_with_by_a_new_one(
    shop: Shop, tmp_path: Path
) -> None:
    """On the way to an API server that is slow, too."""
    way = Cut(given_by()[1], seconds=0.05)
    config, before = given_by(way)[0], shop.serving()
    idle = "api-green" if before[0] == "blue" else "api"
    ops = book(shop.cluster, tmp_path / "ops", kubeconfig=str(tmp_path / "kubeconfig"))

    def issued() -> None:
        shop.cluster.make(ACCOUNT)
        wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        path = shop.cluster.path(ACCOUNT, "deployer") + "/token"
        token = shop.cluster.do(lambda api: api.post(path, wanted))["status"]["token"]
        config["users"][0]["user"] = {"token": token}
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))

    # Its pods count as available so late that the credential is gone before: the server remembers one for 10 seconds.
    shop.patch("apps/v1", "Deployment", idle, {"spec": {"minReadySeconds": 20}})
    shop.cluster.make(*MAY_ALL)
    issued()
    try:
        with shop.asked() as requests, ThreadPoolExecutor(1) as thread:
            running = thread.submit(lambda: shop.run("deploy", "api", "2" if before[1] == "1" else "1", ops=ops))
            until(lambda: shop.get("Deployment", idle)["spec"]["replicas"], 120, "the idle side is brought up")
            shop.cluster.remove(ACCOUNT)
            view = running.result()
            assert view["state"] == "ambiguous", view["message"]
            assert "the credential is not taken (any more) → put one that is valid" in view["message"]
            issued()
            resolved = shop.opsbook("runs", "resolve", view["id"], "--as", "not-done", ops=ops)
            assert "Traceback" not in resolved.stderr, resolved.stderr
            done = shop.opsbook("runs", "follow", view["id"], "--format", "json", ops=ops)
            assert json.loads(done.stdout)["state"] == "done", done.stdout
        assert shop.serving()[0] != before[0]
        assert set(requests) == {"200"}, requests
    finally:
        way.cut()
        shop.cluster.remove(ACCOUNT, *MAY_ALL)
        shop.patch("apps/v1", "Deployment", idle, {"spec": {"minReadySeconds": 0}})


def test_a_configuration_is_deployed_like_a_version_and_gone_back_to(shop: Shop) -> None:
    name = "api" if shop.serving()[0] == "blue" else "api-green"

    def map_of() -> tuple[str, dict[str, str]]:
        env = shop.get("Deployment", name)["spec"]["template"]["spec"]["containers"][0]["env"]
        taken = env[0]["valueFrom"]["configMapKeyRef"]["name"]
        return taken, shop.get("ConfigMap", taken).get("data") or {}

    version = shop.serving()[1]
    with shop.asked() as requests:
        view = shop.run("deploy", "api", "--config", "LEVEL=debug")
        assert view["state"] == "done", view["message"]
        good, data = map_of()
        assert good.startswith("faults-") and data == {"LEVEL": "debug"}
    assert set(requests) == {"200"}, requests
    view = shop.run("deploy", "api", "--config", f"{version}=errors")
    assert view["state"] == "undone", view["message"]
    assert map_of() == (good, {"LEVEL": "debug"}), "what is worse goes back by itself"
    back = shop.run("rollback", "api", "--to-revision", str(_revision_of(shop, name, "faults")))
    assert back["state"] == "done", back["message"]
    assert map_of()[0] == "faults"


def _revision_of(shop: Shop, workload: str, taken: str) -> int:
    """The newest revision whose pods took a config map of this name."""
    path = f"/apis/apps/v1/namespaces/{shop.cluster.namespace}/replicasets"
    found = []
    for one in shop.cluster.do(lambda api: api.get(path))["items"]:
        env = one["spec"]["template"]["spec"]["containers"][0].get("env") or [{}]
        reference = env[0].get("valueFrom", {}).get("configMapKeyRef", {})
        if one["metadata"]["ownerReferences"][0]["name"] == workload and reference.get("name") == taken:
            found.append(int(one["metadata"]["annotations"]["deployment.kubernetes.io/revision"]))
    return max(found)
