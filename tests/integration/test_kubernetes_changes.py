"""What Kubernetes is asked to change: refused when planning, guarded when applied, undone, made again after a cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from opsbook.connectors.change import Change, ChangeFailed
from opsbook.connectors.runtimes.contract import Unsupported, Verb
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_rbac import manifests, needed
from opsbook.connectors.runtimes.kubernetes_wait import NotReady
from opsbook.errors import Absent, Refused
from tests.integration.cluster import (
    BEAT,
    Cluster,
    container,
    deployment,
    new_namespace,
    on_cluster,
    python,
    template,
    workload,
)
from tests.integration.hands import Hands, hands_of

pytestmark = on_cluster("parts")

SHOW = "cat /proc/[0-9]*/cmdline"
"""Every command line of a pod."""
READY = {"exec": {"command": ["true"]}, "periodSeconds": 1}
COMPONENTS: dict[str, dict[str, Any]] = {
    "cluster": {"kind": "cluster"},
    **{name: {"kind": "workload"} for name in ("web", "db", "agent", "nightly", "held", "other")},
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    nightly = {"apiVersion": "batch/v1beta1", "kind": "CronJob", "metadata": {"name": "nightly"},
               "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"backoffLimit": 0, "template": template(
                   "nightly", container("nightly", ["sh", "-c", "echo done"]), restartPolicy="Never")}}}}  # fmt: skip
    autoscaler = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "held"},
                  "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "held"},
                           "minReplicas": 1, "maxReplicas": 3, "targetCPUUtilizationPercentage": 80}}  # fmt: skip
    held = python("held", BEAT, resources={"requests": {"cpu": "10m"}})
    strategy = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    with new_namespace(
        nightly, autoscaler, deployment("held", held), deployment("other", python("other", BEAT)),
        deployment("web", python("web", BEAT, readinessProbe=READY), replicas=2, strategy=strategy),
        workload("StatefulSet", "db", python("db", BEAT), serviceName="db", replicas=1),
        workload("DaemonSet", "agent", python("agent", BEAT)),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"LEVEL": "info"}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "opsbook"}},
    ) as one:  # fmt: skip
        yield one


@pytest.fixture
async def hands(cluster: Cluster) -> AsyncIterator[Hands]:
    async with hands_of(cluster.system(COMPONENTS)) as one:
        yield one


def runtime_of(hands: Hands) -> Kubernetes:
    runtime = hands.connections.runtime
    assert isinstance(runtime, Kubernetes)
    return runtime


async def version(hands: Hands, workload: str) -> str:
    return (await hands.connections.runtime.status(workload)).version


async def test_a_version_that_never_becomes_ready_is_told_and_taken_back(hands: Hands) -> None:
    await hands.do("workload.scale", of="web", replicas=2, wait=60)
    (deploy,) = await hands.plan("workload.deploy", of="web", version="9", wait=12)
    assert deploy.evidence["also_set_by"] == ["opsbook"], "who else sets the image is told"
    with pytest.raises(NotReady, match=r"web is not ready after 12 s .*its image localhost/base:9 cannot be had"):
        await hands.apply(deploy)
    assert (await hands.connections.runtime.status("web")).workload.ready == 2, "the old pods still serve"
    await hands.undo(deploy)
    assert await version(hands, "web") == "1"
    assert [one.version for one in await hands.connections.runtime.revisions("web") if one.current] == ["1"]
    with pytest.raises(Refused, match=r"no revision of web before this one to go back to; it was gone back from .*9"):
        await hands.plan("workload.rollback", of="web")


async def test_a_bad_version_of_a_stateful_set_is_taken_back_though_its_pod_is_stuck(hands: Hands) -> None:
    async with asyncio.timeout(120):
        while not (await hands.connections.runtime.status("db")).workload.ready:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    (deploy,) = await hands.plan("workload.deploy", of="db", version="9", wait=12)
    with pytest.raises(NotReady, match="db is not ready after 12 s without progress: 0 of 1 ready"):
        await hands.apply(deploy)
    assert isinstance(deploy.inverse, Change) and deploy.inverse.effect["replaces_stuck"] is True
    assert (await hands.undo(deploy))["ready"] == 1
    assert "db-0 is not ready and of another template: it is deleted" in hands.out.text
    status = await hands.connections.runtime.status("db")
    assert (status.version, status.workload.ready) == ("1", 1)


async def test_a_change_is_refused_where_somebody_was_quicker(hands: Hands) -> None:
    (deploy,) = await hands.plan("workload.deploy", of="web", version="2")
    runtime = runtime_of(hands)
    path = f"/apis/apps/v1/namespaces/{runtime.namespace.name}/deployments/web"
    quicker = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "localhost/base:3"}]
    await runtime.api.ask("PATCH", path, {}, quicker, "application/json-patch+json")
    with pytest.raises(Refused, match="runs localhost/base:3 now, and ran localhost/base:1"):
        await hands.apply(deploy)
    await hands.do("workload.rollback", of="web")
    stranger = Change(deploy.kind, deploy.effect, guard={**deploy.guard, "uid": "another"})
    with pytest.raises(Refused, match="made anew"):
        await hands.apply(stranger)


async def test_a_change_that_was_cut_off_is_made_again_once(hands: Hands) -> None:
    runtime = runtime_of(hands)
    (restart,) = await hands.plan("workload.restart", of="web")
    under_way = asyncio.ensure_future(hands.apply(restart, "run/7/0"))
    async with asyncio.timeout(30):
        while True:
            _, now = await runtime.found("web")
            if "opsbook/restarted-by" in (now["spec"]["template"]["metadata"].get("annotations") or {}):
                break
            await asyncio.sleep(0.05)
    under_way.cancel()
    await asyncio.gather(under_way, return_exceptions=True)
    assert await hands.end(restart, "run/7/0")
    await hands.apply(restart, "run/7/0")
    generation = (await runtime.found("web"))[1]["metadata"]["generation"]
    await hands.apply(restart, "run/7/0")
    assert (await runtime.found("web"))[1]["metadata"]["generation"] == generation, "one key restarts once"


async def test_the_server_refuses_when_planning(hands: Hands, cluster: Cluster) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}}
    cluster.make(quota)
    try:
        runtime = runtime_of(hands)
        async with asyncio.timeout(30):
            while "used" not in (await runtime.api.get(cluster.path(quota, "few")))["status"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        with pytest.raises(Refused, match="exceeded quota: few"):
            await hands.plan("workload.scale", of="web", replicas=3)
        (deploy,) = await hands.plan("workload.deploy", of="web", version="2")
        assert "exceeded quota" in deploy.evidence["quota"]
    finally:
        cluster.remove(quota)


async def test_a_fixed_number_against_an_autoscaler_is_refused_or_changes_it(hands: Hands) -> None:
    with pytest.raises(Refused, match="the autoscaler held holds held between 1 and 3 pods"):
        await hands.plan("workload.scale", of="held", replicas=2)
    (scale,) = await hands.plan("workload.scale", of="held", replicas=2, autoscaler=True)
    assert scale.effect["patch"] == {"spec": {"minReplicas": 2, "maxReplicas": 2}}
    await hands.apply(scale)
    assert (await hands.connections.runtime.status("held")).workload.ready == 2
    full = await hands.facts.observe("cluster.autoscalers_at_most", "cluster")
    assert full.value == 1 and "held wants 2 of at most 2" in full.message
    await hands.undo(scale)
    (bounds,) = await hands.plan("autoscaler.set", of="held", most=5)
    assert bounds.effect["patch"] == {"spec": {"minReplicas": 1, "maxReplicas": 5}}
    await hands.apply(bounds)
    await hands.undo(bounds)
    with pytest.raises(Absent, match="no autoscaler holds web"):
        await hands.plan("autoscaler.set", of="web", most=5)


async def test_it_sets_limits_and_values_and_takes_them_back(hands: Hands) -> None:
    runtime = runtime_of(hands)
    (limits,) = await hands.plan("workload.limits", of="other", memory_limit="96Mi", cpu_request="20m")
    await hands.apply(limits)
    resources = (await runtime.found("other"))[1]["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert resources == {"limits": {"memory": "96Mi"}, "requests": {"cpu": "20m"}}
    await hands.undo(limits)
    resources = (await runtime.found("other"))[1]["spec"]["template"]["spec"]["containers"][0].get("resources")
    assert not resources
    with pytest.raises(Refused, match="may use 1Mi at most"):
        await hands.plan("workload.limits", of="other", memory_request="2Mi", memory_limit="1Mi")

    (value,) = await hands.plan("config_map.set", of="cluster", name="settings", key="LEVEL", value="debug")
    await hands.apply(value)
    await hands.apply(value)
    data = (await runtime.api.get(runtime.namespace.core("configmaps", "settings")))["data"]
    assert data == {"LEVEL": "debug"}
    await hands.undo(value)
    (removed,) = await hands.plan("config_map.set", of="cluster", name="settings", key="LEVEL")
    await hands.apply(removed)
    await hands.undo(removed)
    assert (await runtime.api.get(runtime.namespace.core("configmaps", "settings")))["data"] == {"LEVEL": "info"}


async def test_other_kinds_do_what_they_can_and_say_what_they_cannot(hands: Hands) -> None:
    await hands.do("workload.deploy", of="db", version="2")
    assert await version(hands, "db") == "2"
    await hands.do("workload.rollback", of="db")
    assert await version(hands, "db") == "1"
    await hands.do("workload.restart", of="agent")
    with pytest.raises(Unsupported, match="a DaemonSet has no number of pods"):
        await hands.plan("workload.scale", of="agent", replicas=2)
    (stop,) = await hands.plan("workload.stop", of="nightly")
    await hands.apply(stop)
    runtime = runtime_of(hands)
    assert (await runtime.found("nightly"))[1]["spec"]["suspend"] is True
    await hands.undo(stop)
    assert (await runtime.found("nightly"))[1]["spec"]["suspend"] is False
    (trigger,) = await hands.plan("cron_job.trigger", of="nightly", wait=60)
    assert await hands.verify("cron_job.trigger", trigger, "run/9/0") == "not_done"
    first = await hands.apply(trigger, "run/9/0")
    assert await hands.apply(trigger, "run/9/0") == first, "one key starts one job"
    assert await hands.verify("cron_job.trigger", trigger, "run/9/0") == "done"
    with pytest.raises(Unsupported, match="web is a Deployment"):
        await hands.plan("cron_job.trigger", of="web")


async def test_the_least_role_is_enough_and_no_more(cluster: Cluster, hands: Hands, tmp_path: Path) -> None:
    system = cluster.system({name: COMPONENTS[name] for name in ("cluster", "web")})
    rights = needed(system, ("workload.scale", "workload.restart", "workload.exec"))
    roles = [one for one in manifests(rights, cluster.namespace) if one["kind"] != "ServiceAccount"]
    cluster.make(*roles)
    try:
        config = await _config_of(runtime_of(hands), tmp_path)
        async with hands_of(cluster.system(dict(COMPONENTS), kubeconfig=str(config))) as least:
            await least.do("workload.scale", of="web", replicas=1)
            await least.do("workload.scale", of="web", replicas=2)
            assert (await least.do("workload.exec", of="web", argv=["echo", "it is I"]))["stdout"] == "it is I\n"
            assert (await least.facts.observe("cluster.nodes_away", "cluster")).value == 0
            assert (await least.facts.observe("cluster.access_lacking", "cluster")).value == 0
            assert (await least.facts.observe("cluster.access_beyond", "cluster")).value == 0
            with pytest.raises(Refused, match="cannot patch resource"):
                await least.plan("workload.scale", of="other", replicas=2)
            with pytest.raises(Refused, match="cannot patch resource"):
                await least.plan("config_map.set", of="cluster", name="settings", key="LEVEL", value="debug")
        beyond = await hands.facts.observe("cluster.access_beyond", "cluster")
        assert "do anything with everything" in beyond.message, "the tests' own credential may do all"
    finally:
        cluster.remove(*roles)


async def _config_of(runtime: Kubernetes, folder: Path) -> Path:
    """A kubeconfig with a token of the service account."""
    wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = await runtime.api.post(runtime.namespace.core("serviceaccounts", "opsbook", "token"), wanted)
    auth = (await runtime.api.open()).auth
    server = {"server": auth.server, "certificate-authority": str(auth.server_ca_file)}
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "least",
        "clusters": [{"name": "here", "cluster": server}],
        "users": [{"name": "opsbook", "user": {"token": token["status"]["token"]}}],
        "contexts": [{"name": "least", "context": {"cluster": "here", "user": "opsbook"}}],
    }  # fmt: skip
    path = folder / "config"
    path.write_text(yaml.safe_dump(config))
    return path


async def test_a_command_in_a_pod_is_ended_with_its_key_and_keeps_secrets_out(hands: Hands) -> None:
    async with asyncio.timeout(90):
        while not (await runtime_of(hands).status("other")).workload.ready:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    (sleep,) = await hands.plan("workload.exec", of="other", argv=["sleep", "301.5"])
    under_way = asyncio.ensure_future(hands.apply(sleep, "run/3/0"))
    runtime = runtime_of(hands)
    async with asyncio.timeout(30):
        while "301.5" not in (await hands.do("workload.exec", of="other", argv=["sh", "-c", SHOW]))["stdout"]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert await hands.end(sleep, "run/3/0")
    with pytest.raises(Exception, match="ended by signal"):
        await under_way
    assert runtime.capabilities
    with pytest.raises(Unsupported, match="audit log"):
        await runtime.change("other", Verb.EXEC, {"argv": ["true"], "secrets": {"PASSWORD": "${PASSWORD}"}})
    with pytest.raises(ChangeFailed, match="no-such-program"):
        await hands.do("workload.exec", of="other", argv=["no-such-program"])
