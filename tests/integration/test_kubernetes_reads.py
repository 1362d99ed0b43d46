"""What Kubernetes tells of its workloads: why a pod is not ready, in one sentence. Looking writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from opsbook.connectors.registry import OpenConnections, open_connections
from opsbook.connectors.runtimes.contract import CRASHED, LogQuery, Verb
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.errors import OpsbookError, Unreachable
from tests.integration.cluster import (
    AUDIT,
    BEAT,
    Cluster,
    container,
    deployment,
    new_namespace,
    on_cluster,
    python,
    service,
    size_of_audit,
    template,
    workload,
)
from tests.integration.servers import ask, free_port

pytestmark = on_cluster("parts")

EATER = "import time\nkept = bytearray()\nwhile True:\n    kept += b'x' * 4_000_000\n    time.sleep(0.02)\n"
COUNT = "import itertools, time\nfor n in itertools.count():\n    print(n, flush=True)\n    time.sleep(0.05)\n"
SECRETS = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "login"},
    "stringData": {"password": "s3cret-word"},
}
SETTINGS = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"LEVEL": "info"}}
ENVIRONMENT: list[dict[str, Any]] = [
    {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
    {"name": "PLAIN", "value": "here"},
]
COMPONENTS: dict[str, dict[str, Any]] = {
    "cluster": {"kind": "cluster"},
    **{name: {"kind": "workload"} for name in
       ("crash", "noimage", "hungry", "eater", "unready", "unmade", "two", "db", "agent", "nightly")},
}  # fmt: skip
WHY = {
    "crash": ("CrashLoopBackOff", r"crash crashes each time: last exit code 3, .*; its last words: no configuration"),
    "noimage": ("ErrImageNeverPull", r"its image localhost/none:1 cannot be had: .*not present"),
    "hungry": ("Unschedulable", r"no node can take it: .*Insufficient cpu"),
    "eater": ("OOMKilled", r"eater was ended because it used more memory than its limit of 40Mi"),
    "unready": ("NotReady", r"unready runs and does not say that it is ready; Readiness probe failed: not yet"),
    "unmade": ("CreateContainerConfigError", r'unmade cannot be made: secret "absent" not found'),
}  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    never = {"exec": {"command": ["sh", "-c", "echo not yet; exit 1"]}, "periodSeconds": 1}
    absent = {"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "x"}}}]}
    nightly = {"apiVersion": "batch/v1beta1", "kind": "CronJob", "metadata": {"name": "nightly"},
               "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": template(
                   "nightly", container("nightly", ["true"]), restartPolicy="Never")}}}}  # fmt: skip
    with new_namespace(
        SECRETS, SETTINGS, nightly,
        deployment("crash", container("crash", ["sh", "-c", "echo no configuration; exit 3"])),
        deployment("noimage", container("noimage", ["true"], "localhost/none:1")),
        deployment("hungry", container("hungry", ["true"], resources={"requests": {"cpu": "900"}})),
        deployment("eater", python("eater", EATER, resources={"limits": {"memory": "40Mi"}})),
        deployment("unready", python("unready", BEAT, readinessProbe=never)),
        deployment("unmade", container("unmade", ["true"], **absent)),
        deployment("two", python("first", BEAT, env=ENVIRONMENT, envFrom=[{"configMapRef": {"name": "settings"}}]),
                   python("second", BEAT)),
        workload("StatefulSet", "db", python("db", COUNT), serviceName="db", replicas=1),
        workload("DaemonSet", "agent", python("agent", BEAT)),
        service("lonely", 80),
    ) as one:  # fmt: skip
        yield one


@pytest.fixture
async def connections(cluster: Cluster) -> AsyncIterator[OpenConnections]:
    async with open_connections(cluster.system(COMPONENTS)) as one:
        yield one


async def test_it_says_in_one_sentence_why_a_pod_is_not_ready(connections: OpenConnections) -> None:
    import re

    runtime = connections.runtime
    seen: dict[str, tuple[str, str]] = {}
    async with asyncio.timeout(100):
        for name, (state, words) in WHY.items():
            while True:
                instances = (await runtime.status(name)).instances
                seen[name] = (instances[0].state, instances[0].reason) if instances else ("", "")
                if seen[name][0] == state and re.match(words, seen[name][1]):
                    break
                assert "s3cret" not in str(instances)
                await asyncio.sleep(0.3)
    before = [line.text async for line in runtime.logs("crash", LogQuery(previous=True))]
    assert before == ["no configuration"], "of the run before"
    crashed = [event async for event in runtime.events("crash") if event.kind == CRASHED]
    assert crashed and crashed[-1].at is not None
    async with asyncio.timeout(60):
        while True:  # a pod that is well may still be on its way
            failing, missing = await ask(connections, "cluster", "cluster.pods_failing", "cluster.services_empty")
            if failing.value == len(WHY):
                break
            await asyncio.sleep(0.3)
    assert missing.value == 1 and "lonely" in missing.message
    (up,) = await ask(connections, "crash", "workload.up")
    assert up.value is False and "its last words: no configuration" in up.message


async def test_it_knows_every_kind_of_workload(connections: OpenConnections) -> None:
    runtime = connections.runtime
    assert isinstance(runtime, Kubernetes)
    kinds = {one.name: (one.kind, one.wanted) for one in await runtime.list()}
    nodes = len([one async for one in runtime.api.pages("/api/v1/nodes")])
    assert kinds["db"] == ("StatefulSet", 1)
    assert kinds["agent"] == ("DaemonSet", nodes)
    assert kinds["nightly"] == ("CronJob", None)
    assert kinds["two"] == ("Deployment", 1)
    async with asyncio.timeout(60):
        while not all([(await runtime.status(name)).workload.ready for name in ("db", "two")]):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    assert {one.name for one in (await runtime.status("statefulset/db")).instances} == {"db-0"}
    assert [one.current for one in await runtime.revisions("db")] == [True]
    lines = {line.instance.partition("/")[2] async for line in runtime.logs("two", LogQuery(contains="started"))}
    assert lines == {"first", "second"}, "every container of a pod is heard"


async def test_following_loses_no_line_and_tells_none_twice(connections: OpenConnections) -> None:
    async with asyncio.timeout(120):
        while not (await connections.runtime.status("db")).workload.ready:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        for tail in (5, 0):
            async with aclosing(connections.runtime.logs("db", LogQuery(tail, follow=True))) as followed:
                numbers = [int((await anext(followed)).text) for _ in range(30)]
            assert numbers == list(range(numbers[0], numbers[0] + 30))


async def test_it_names_where_variables_come_from_and_never_shows_a_secret(connections: OpenConnections) -> None:
    found = await connections.runtime.environment("two")
    assert found == {"LEVEL": "from config map settings, key LEVEL", "PLAIN": "here",
                     "PASSWORD": "from secret login, key password"}  # fmt: skip


@pytest.mark.skipif(
    not AUDIT, reason="no disposable kubernetes is given with an audit log: OPSBOOK_TEST_KUBERNETES_AUDIT"
)
async def test_looking_and_planning_write_nothing(connections: OpenConnections, cluster: Cluster) -> None:
    since = size_of_audit()
    runtime = connections.runtime
    facts = ("cluster.up", "cluster.nodes_away", "cluster.nodes_pressed", "cluster.nodes_closed",
             "cluster.pods_failing", "cluster.autoscalers_at_most", "cluster.autoscalers_blind",
             "cluster.services_empty",
             "cluster.ingress_broken", "cluster.claims_unbound", "cluster.certificate_left", "cluster.pods_open",
             "cluster.access_beyond", "cluster.access_lacking", "cluster.volume_usage")  # fmt: skip
    for reading in await ask(connections, "cluster", *facts):
        assert reading.value is not None or reading.failure == "absent", reading
    for verb, arguments in (
        (Verb.SCALE, {"replicas": 2}), (Verb.STOP, {}), (Verb.START, {"replicas": 1}), (Verb.RESTART, {}),
        (Verb.DEPLOY, {"version": "2"}), (Verb.EXEC, {"argv": ["true"]}),
    ):  # fmt: skip
        change = await runtime.change("two", verb, arguments)
        assert "s3cret" not in repr(change)
    await asyncio.sleep(1)  # the log is written behind the answers
    assert cluster.writes(since) == []


async def test_a_server_that_is_away_is_told_at_once(cluster: Cluster, tmp_path: Path) -> None:
    config = tmp_path / "config"
    port = free_port()
    config.write_text(
        "{apiVersion: v1, kind: Config, current-context: x, users: [{name: x, user: {token: abc}}],"
        f" clusters: [{{name: x, cluster: {{server: 'http://127.0.0.1:{port}'}}}}],"
        " contexts: [{name: x, context: {cluster: x, user: x}}]}"
    )
    async with open_connections(cluster.system(COMPONENTS, kubeconfig=str(config))) as connections:
        with pytest.raises(Unreachable, match="Kubernetes does not answer at"):
            await connections.runtime.status("two")
    async with open_connections(cluster.system(COMPONENTS, kubeconfig=str(tmp_path / "none"))) as connections:
        with pytest.raises(OpsbookError, match="no credential"):
            await connections.runtime.list()
