"""A pod beside a workload whose node is away: what is waited for, and what is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from opsbook.connectors.runtimes import kubernetes_beside
from opsbook.connectors.runtimes.beside import Beside, Within
from opsbook.connectors.runtimes.kubernetes_api import ApiFault, NotThere
from opsbook.connectors.runtimes.kubernetes_once import KEY
from opsbook.errors import Refused, Unreachable

WANTED = Beside("db-data", "run/3", "db", 600.0)
JOBS = "/jobs/db-data"


class Cluster:
    """One job, and one pod that goes or does not."""

    def __init__(self, job: dict[str, Any] | None = None) -> None:
        self.job, self.asked = job, list[str]()
        self.api, self.namespace = self, self

    async def of(self, kind: object, name: str = "") -> str:
        return JOBS if name else "/jobs"

    async def get(self, path: str) -> dict[str, Any]:
        if self.job is None:
            raise NotThere(404, "NotFound", "no job")
        return self.job

    async def ask(self, verb: str, path: str, *_: Any) -> None:
        self.asked.append(f"{verb} {path}")
        self.job = None


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    async def runs(*_: Any) -> bool:
        return False

    async def pod(*_: Any) -> dict[str, Any]:
        return {"metadata": {"name": "db-data-x7"}, "spec": {"nodeName": "node7"}}

    monkeypatch.setattr(kubernetes_beside, "no_pod_runs", runs)
    monkeypatch.setattr(kubernetes_beside, "pod_of", pod)
    monkeypatch.setattr(kubernetes_beside, "GONE_SECONDS", 0.0)
    monkeypatch.setattr(kubernetes_beside, "LOOK_SECONDS", 0.001)
    return Cluster()


def _job(key: str) -> dict[str, Any]:
    return {"metadata": {"annotations": {KEY: key}}, "status": {}}


async def test_a_pod_that_does_not_go_is_told_with_its_node_and_is_no_refusal(cluster: Cluster) -> None:
    for job in (None, _job(WANTED.key)):
        cluster.job = job
        with pytest.raises(Unreachable, match="the pod db-data-x7 on node7 does not go") as told:
            await kubernetes_beside._posted(cast("Any", cluster), WANTED, {})
        assert "node7 is off" in told.value.hint
    cluster.job = _job("run/4")
    with pytest.raises(Refused, match="under way already"):
        await kubernetes_beside._posted(cast("Any", cluster), WANTED, {})
    cluster.job = _job(WANTED.key)
    with pytest.raises(Unreachable, match="on node7"):
        await kubernetes_beside._gone(cast("Any", cluster), WANTED)


async def test_one_that_never_started_is_removed_without_waiting_for_its_node(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found(*_: Any) -> tuple[Any, dict[str, Any]]:
        return SimpleNamespace(name="StatefulSet"), {}

    async def pods(*_: Any) -> list[Any]:
        return []

    async def posted(*_: Any) -> str:
        cluster.job = _job(WANTED.key)
        return JOBS

    async def never(*_: Any) -> Any:
        raise TimeoutError

    async def gone(*_: Any) -> None:
        raise AssertionError("its pod is waited for")

    for name, put in (("_posted", posted), ("_running", never), ("_gone", gone), ("body_of", lambda *_: {})):
        monkeypatch.setattr(kubernetes_beside, name, put)
    runtime = SimpleNamespace(api=cluster, namespace=SimpleNamespace(name="n", of=cluster.of), found=found, pods=pods,
                              image_of=lambda *_: ("db", "db:1"))  # fmt: skip
    with pytest.raises(TimeoutError):
        async with kubernetes_beside.made(cast("Any", runtime), WANTED, cast("Any", None)):
            raise AssertionError("it never started")
    assert cluster.asked == [f"DELETE {JOBS}"]


@pytest.mark.parametrize("error", [ApiFault(500, "InternalError", "dialing node7"), Unreachable("the API is away")])
async def test_an_exchange_that_does_not_come_about_is_told_as_a_command_without_an_end(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def exchange(*_: Any) -> tuple[int | None, str]:
        raise error

    monkeypatch.setattr(kubernetes_beside, "exchange", exchange)
    pod = kubernetes_beside._Pod(cast("Any", None), cast("Any", None), "db")
    said = await Within(pod, "run/3").run(["true"], seconds=5)
    assert (said.code, said.why) == (None, cast("Any", error).message)
