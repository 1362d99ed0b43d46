"""Kubernetes' answers, read without a cluster: states of pods, progress of rollouts, patches, quantities, roles."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from opsbook.connectors.forwarded import forwarded
from opsbook.connectors.runtimes.contract import LogQuery
from opsbook.connectors.runtimes.kubernetes_budgets import selects
from opsbook.connectors.runtimes.kubernetes_forward import Inside, ready_behind
from opsbook.connectors.runtimes.kubernetes_kinds import image_with, progress_of, version_of
from opsbook.connectors.runtimes.kubernetes_logs import Source, asked_of, read_line
from opsbook.connectors.runtimes.kubernetes_patches import before, holds, without_absent
from opsbook.connectors.runtimes.kubernetes_pods import read_pod
from opsbook.connectors.runtimes.kubernetes_quantities import quantity
from opsbook.connectors.runtimes.kubernetes_rbac import Right, manifests, review


def pod(*statuses: dict[str, Any], phase: str = "Running", ready: bool = False, **keys: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}, *keys.pop("conditions", [])]
    return {
        "metadata": {"name": "web-6b-x", "labels": {"pod-template-hash": "6b"}, **keys.pop("metadata", {}),
                     "ownerReferences": [{"kind": "ReplicaSet", "name": "web-6b", "controller": True}]},
        "spec": {"nodeName": "n1", "containers": [{"name": "web", "image": "r/web:1",
                                                   "resources": {"limits": {"memory": "64Mi"}}}]},
        "status": {"phase": phase, "conditions": conditions, "containerStatuses": list(statuses), **keys},
    }  # fmt: skip


def waiting(why: str, message: str = "", **last: Any) -> dict[str, Any]:
    return {"name": "web", "image": "r/web:1", "restartCount": 4, "ready": False,
            "state": {"waiting": {"reason": why, "message": message}},
            "lastState": {"terminated": last}}  # fmt: skip


RUNNING = {"name": "web", "ready": True, "restartCount": 0, "state": {"running": {"startedAt": "2026-01-02T03:04:05Z"}}}


@pytest.mark.parametrize(
    ("given", "state", "reason"),
    [
        (pod(RUNNING, ready=True), "Running", ""),
        (pod(waiting("CrashLoopBackOff", exitCode=3)), "CrashLoopBackOff",
         "web crashes each time: last exit code 3, restarted 4 times"),
        (pod(waiting("CrashLoopBackOff", exitCode=137, reason="OOMKilled")), "OOMKilled",
         "web was ended because it used more memory than its limit of 64Mi, restarted 4 times"),
        (pod(waiting("ImagePullBackOff", "Back-off pulling  image")), "ImagePullBackOff",
         "its image r/web:1 cannot be had: Back-off pulling image"),
        (pod(waiting("CreateContainerConfigError", 'secret "db" not found')), "CreateContainerConfigError",
         'web cannot be made: secret "db" not found'),
        (pod(phase="Failed", reason="Evicted", message="low on memory"), "Evicted",
         "it was evicted from its node: low on memory"),
        (pod(phase="Pending", conditions=[{"type": "PodScheduled", "status": "False", "message": "0/2 nodes fit"}]),
         "Unschedulable", "no node can take it: 0/2 nodes fit"),
        (pod({**RUNNING, "ready": False}), "NotReady", "web runs and does not say that it is ready"),
        (pod(RUNNING), "NotReady", "its node may be away: its containers were ready"),
        (pod(RUNNING, metadata={"deletionTimestamp": "2026-01-02"}, ready=True), "Terminating", "it is ending"),
        (pod(phase="Succeeded"), "Succeeded", "it has done its work"),
    ],
)  # fmt: skip
def test_it_says_why_a_pod_is_not_ready(given: dict[str, Any], state: str, reason: str) -> None:
    found = read_pod(given)
    assert (found.state, found.reason) == (state, reason)
    assert found.owner == ("Deployment", "web")
    assert found.ready is (state == "Running")


def test_what_else_is_known_completes_the_sentence() -> None:
    away, unready = read_pod(pod(RUNNING)), read_pod(pod({**RUNNING, "ready": False}))
    assert away.instance("its node n1 is not ready: silent").reason == "its node n1 is not ready: silent"
    assert unready.instance("it says 503").reason == "web runs and does not say that it is ready; it says 503"
    assert read_pod(pod(RUNNING, ready=True)).instance().reason == ""


def test_the_owner_of_a_bare_replica_set_is_itself() -> None:
    one = pod(RUNNING)
    one["metadata"]["labels"] = {}
    assert read_pod(one).owner == ("ReplicaSet", "web-6b")


def deployment(generation: int = 2, **status: int) -> dict[str, Any]:
    return {"metadata": {"generation": generation}, "spec": {"replicas": 3},
            "status": {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3,
                       **status}}  # fmt: skip


@pytest.mark.parametrize(
    ("one", "over"),
    [
        (deployment(), True),
        (deployment(generation=3), False),
        (deployment(updatedReplicas=2), False),
        (deployment(replicas=4), False),
        (deployment(availableReplicas=2), False),
    ],
)
def test_a_rollout_is_over_when_every_pod_is_new_and_ready(one: dict[str, Any], over: bool) -> None:
    assert progress_of("Deployment", one).over is over


def test_a_stateful_set_counts_its_new_pods_by_revision() -> None:
    status = {"observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 1,
              "currentRevision": "db-1", "updateRevision": "db-2"}  # fmt: skip
    one: dict[str, Any] = {"metadata": {"generation": 1}, "spec": {"replicas": 2}, "status": status}
    assert not progress_of("StatefulSet", one).over
    one["status"] = {**status, "currentRevision": "db-2"}
    assert progress_of("StatefulSet", one).over


@pytest.mark.parametrize(
    ("image", "version", "result"),
    [
        ("r:5000/team/web:1", "2", "r:5000/team/web:2"),
        ("r:5000/team/web", "2", "r:5000/team/web:2"),
        ("web@sha256:abc", "v3", "web:v3"),
        ("web:1", "sha256:def", "web@sha256:def"),
        ("web:1", "other/api:9", "other/api:9"),
    ],
)
def test_a_version_is_a_tag_a_digest_or_a_whole_image(image: str, version: str, result: str) -> None:
    assert image_with(image, version) == result


def test_an_image_tells_its_version() -> None:
    assert [version_of(one) for one in ("a/b:1.2", "r:5000/b", "b@sha256:0123456789abcdef")] == [
        "1.2", "latest", "0123456789ab"]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("250m", 0.25),
        ("2", 2),
        ("64Mi", 64 * 2**20),
        ("1.5G", 1.5e9),
        ("12345n", 12345e-9),
        ("1e3", 1000),
        ("", 0),
        (None, 0),
    ],
)
def test_quantities_are_numbers(text: str | None, number: float) -> None:
    assert quantity(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["64MB", "many", "-1", "1 Mi"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        quantity(text)


THERE = {"spec": {"replicas": 3, "containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]}}


def test_a_patch_holds_where_everything_it_says_is_so() -> None:
    assert holds({"spec": {"replicas": 3}}, THERE)
    assert holds({"spec": {"containers": [{"name": "b", "image": "b:1"}]}}, THERE)
    assert not holds({"spec": {"containers": [{"name": "b", "image": "b:2"}]}}, THERE)
    assert not holds({"spec": {"containers": [{"name": "c", "image": "c:1"}]}}, THERE)
    assert holds({"spec": {"paused": None}}, THERE)
    assert not holds({"metadata": {"x": 1}}, THERE)


def test_the_patch_before_brings_back_what_was() -> None:
    patch = {"spec": {"replicas": 5, "paused": True, "containers": [{"name": "b", "image": "b:2"}]}}
    old = before(patch, THERE)
    assert old == {"spec": {"replicas": 3, "paused": None, "containers": [{"name": "b", "image": "b:1"}]}}
    assert holds(old, THERE)
    assert without_absent(old) == {"spec": {"replicas": 3, "containers": [{"name": "b", "image": "b:1"}]}}


def test_the_patch_before_brings_back_a_name_that_is_a_value() -> None:
    """Only in a list a name says which one is meant: what an autoscaler holds is what is changed."""
    there = {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "api"}, "containers": [
        {"name": "b", "env": {"name": "old"}}]}}  # fmt: skip
    patch = {"spec": {"scaleTargetRef": {"name": "api-green"}, "containers": [{"name": "b", "env": {"name": "new"}}]}}
    old = before(patch, there)
    assert old["spec"]["scaleTargetRef"] == {"name": "api"}
    assert old["spec"]["containers"] == [{"name": "b", "env": {"name": "old"}}]
    assert holds(old, there)
    assert before({"spec": {"containers": [{"name": "c", "image": "c:1"}]}}, THERE) == {
        "spec": {"containers": [{"name": "c", "image": None}]}
    }


def test_a_line_of_a_log_carries_its_time() -> None:
    source = Source("p", "web", "p")
    line = read_line(source, "2026-01-02T03:04:05.123456789Z hello  you")
    assert (line.at, line.text) == (datetime(2026, 1, 2, 3, 4, 5, 123456, UTC), "hello  you")
    assert read_line(source, "2026-01-02T03:04:05Z x").at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert read_line(source, "no time at all").at is None


def test_the_server_cuts_a_log_only_where_nothing_is_searched() -> None:
    source = Source("p", "web", "p")
    assert asked_of(source, LogQuery(tail=5))["tailLines"] == 5
    assert "tailLines" not in asked_of(source, LogQuery(tail=5, contains="x"))
    assert asked_of(source, LogQuery(previous=True))["previous"] == "true"


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("db", Inside("db", "shop")),
        ("db.other", Inside("db", "other")),
        ("db.other.svc", Inside("db", "other")),
        ("db-0.db.other.svc.cluster.local", Inside("db", "other", "db-0")),
    ],
)
def test_a_host_is_read_as_pods_of_the_cluster_do(host: str, inside: Inside) -> None:
    assert Inside.read(host, "shop") == inside


def test_a_connection_goes_to_a_ready_pod_and_its_own_port() -> None:
    def address(name: str) -> dict[str, Any]:
        return {"ip": "1", "targetRef": {"kind": "Pod", "name": name}}

    service = {"spec": {"ports": [{"port": 80, "name": "http"}]}}
    endpoints = {"subsets": [{"addresses": [address("a")], "notReadyAddresses": [address("b")],
                              "ports": [{"name": "http", "port": 8000}]}]}  # fmt: skip
    assert ready_behind(service, endpoints, 80) == [("a", 8000)]
    assert ready_behind(service, endpoints, 81) == []
    assert ready_behind(service, endpoints, 80, "b") == []


@pytest.mark.parametrize(
    ("address", "result"),
    [
        ("postgresql://u:p%40@db.shop/x?sslmode=require", "postgresql://u:p%40@db.shop:7/x?sslmode=require&hostaddr=127.0.0.1"),
        ("redis://:p@cache:6380/1", "redis://:p@127.0.0.1:7/1"),
        ("https://web.shop.svc/base", "https://web.shop.svc:7/base"),
        ("Bearer abc", "Bearer abc"),
    ],
)  # fmt: skip
def test_an_address_of_the_cluster_leads_to_loopback(address: str, result: str) -> None:
    asked: list[tuple[str, int]] = []

    def to(host: str, port: int) -> int:
        asked.append((host, port))
        return 7

    assert forwarded(address, to) == result
    assert forwarded("db:5432", to) == "db:5432"
    assert forwarded("db:5432", to, bare=True) == forwarded("https://db:8443/x", to, bare=True) == "127.0.0.1:7"


def test_a_selector_means_labels() -> None:
    labels = {"app": "web", "tier": "front"}
    assert selects({"matchLabels": {"app": "web"}}, labels)
    assert not selects({"matchLabels": {"app": "db"}}, labels)
    assert selects({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["front"]}]}, labels)
    assert not selects({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, labels)
    assert selects({}, labels), "an empty one means all"


RIGHTS = [Right("apps", "deployments", "get"), Right("apps", "deployments/scale", "patch", names=("web",)),
          Right("", "nodes", "list", cluster=True)]  # fmt: skip


def test_the_least_role_has_just_the_rights() -> None:
    account, role, binding, cluster_role, _ = manifests(RIGHTS, "shop")
    assert account["kind"] == "ServiceAccount"
    assert role["rules"] == [
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]},
        {"apiGroups": ["apps"], "resources": ["deployments/scale"], "resourceNames": ["web"], "verbs": ["patch"]},
    ]
    assert binding["roleRef"]["kind"] == "Role"
    assert cluster_role["rules"] == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]
    assert review(role["rules"], RIGHTS) == review(role["rules"], RIGHTS[:2])
    assert not review(role["rules"], RIGHTS).lacking and not review(role["rules"], RIGHTS).beyond


def test_a_review_tells_what_is_beyond_and_what_lacks() -> None:
    everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    assert review(everything, RIGHTS).beyond == ("do anything with everything",)
    assert review(everything, RIGHTS).lacking == ()
    more = [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "delete"]},
            {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
            ]  # fmt: skip
    found = review(more, RIGHTS)
    assert found.beyond == ("delete deployments.apps",)
    assert found.lacking == ("patch deployments/scale.apps",)
