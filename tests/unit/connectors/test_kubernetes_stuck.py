"""The way back of a StatefulSet: a pod that its controller would wait for is deleted, and no other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.hands import Out
from tests.integration.servers import make_system

from opsbook.connectors.change import Change
from opsbook.connectors.runtimes import kubernetes_wait
from opsbook.connectors.runtimes.kubernetes_api import ApiFault
from opsbook.connectors.runtimes.kubernetes_kinds import STATEFUL_SET
from opsbook.connectors.runtimes.kubernetes_rbac import needed
from opsbook.connectors.runtimes.kubernetes_stuck import stuck
from opsbook.connectors.runtimes.kubernetes_targets import Target, patched
from opsbook.connectors.runtimes.kubernetes_wait import NotReady, Rollout


def pod(number: int, revision: str, ready: bool = False, **metadata: Any) -> dict[str, Any]:
    owner = {"kind": "StatefulSet", "name": "db", "controller": True}
    return {
        "metadata": {"name": f"db-{number}", "uid": f"{number}-{revision}", "ownerReferences": [owner],
                     "labels": {"controller-revision-hash": revision}, **metadata},
        "spec": {"containers": [{"name": "db", "image": "db:1"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]},
    }  # fmt: skip


class Server:
    """A StatefulSet of two whose template was put back while its second pod was made of a bad one."""

    def __init__(self, may_delete: bool = True) -> None:
        self.namespace = self.api = self
        self.may_delete = may_delete
        self.pods = [pod(0, "good", ready=True), pod(1, "bad")]
        self.one: dict[str, Any] = {
            "metadata": {"name": "db", "uid": "u", "generation": 3},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "db"}},
                     "template": {"spec": {"containers": [{"name": "db", "image": "db:1"}]}}},
            "status": {"observedGeneration": 3, "updateRevision": "good", "currentRevision": "good"},
        }  # fmt: skip

    def core(self, plural: str, name: str = "") -> str:
        return f"{plural}/{name}"

    async def path(self, *parts: str) -> str:
        return "statefulset"

    async def get(self, path: str) -> dict[str, Any]:
        ready = sum(one["status"]["conditions"][0]["status"] == "True" for one in self.pods)
        status = {**self.one["status"], "replicas": len(self.pods), "readyReplicas": ready}
        return {**self.one, "status": status}

    async def pages(self, path: str, query: Any = None) -> AsyncIterator[dict[str, Any]]:
        for one in self.pods:
            yield one

    async def ask(self, method: str, path: str, body: Any) -> None:
        assert (method, path, body) == ("DELETE", "pods/db-1", {"preconditions": {"uid": "1-bad"}})
        if not self.may_delete:
            raise ApiFault(403, "Forbidden", 'pods "db-1" is forbidden: it cannot delete resource "pods"')
        self.pods[1] = pod(1, "good", ready=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_wait, "LOOK_SECONDS", 0.0)


async def rolled(server: Any, wait: float, **keys: Any) -> Any:
    return await Rollout(server, Target.workload(STATEFUL_SET, "db"), "db", wait, Out(), **keys).ready()


async def test_the_pod_that_holds_it_up_is_deleted_on_the_way_back_alone() -> None:
    server = Server()
    with pytest.raises(NotReady, match="1 of 2 ready"):
        await rolled(server, 0.01)
    assert (await rolled(server, 60.0, replaces_stuck=True))["status"]["readyReplicas"] == 2


async def test_who_may_not_delete_it_is_told_that_it_must_be() -> None:
    with pytest.raises(NotReady, match=r"db-1 is of another template, and must be deleted: .*cannot delete"):
        await rolled(Server(may_delete=False), 0.01, replaces_stuck=True)


@pytest.mark.parametrize(
    ("one", "status", "found"),
    [
        (pod(1, "bad"), {}, ["db-1"]),
        (pod(1, "bad", ready=True), {}, []),
        (pod(1, "good"), {}, []),
        (pod(1, "bad", deletionTimestamp="2026-01-02T03:04:05Z"), {}, []),
        (pod(1, "bad", ownerReferences=[]), {}, []),
        (pod(1, "bad"), {"observedGeneration": 2}, []),
        (pod(0, "bad"), {"partition": 1}, []),
    ],
    ids=["stuck", "ready", "as wanted", "ending", "a stranger's", "not noticed yet", "below the partition"],
)
def test_only_what_is_neither_ready_nor_wanted_is_stuck(one: Any, status: Any, found: list[str]) -> None:
    there = Server().one
    there["spec"]["updateStrategy"] = {"rollingUpdate": {"partition": status.pop("partition", 0)}}
    there["status"] |= status
    assert [each["metadata"]["name"] for each in stuck(there, [one])] == found


def test_the_plan_of_the_way_back_says_so_and_its_role_allows_it(tmp_path: Path) -> None:
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "db", "image": "db:2"}]}}}}
    change = patched(Target.workload(STATEFUL_SET, "db"), Server().one, patch, verb="deploy", how="apply")
    assert isinstance(change.inverse, Change)
    assert change.inverse.effect["replaces_stuck"] is True
    assert "replaces_stuck" not in change.effect

    def deletes(workload: str, operation: str) -> bool:
        system = make_system(tmp_path, {"db": {"kind": "workload", "workload": workload}})
        return any((one.resource, one.verb) == ("pods", "delete") for one in needed(system, [operation]))

    assert deletes("db", "workload.deploy") and deletes("statefulset/db", "workload.rollback")
    assert not deletes("deployment/db", "workload.deploy") and not deletes("db", "workload.scale")
