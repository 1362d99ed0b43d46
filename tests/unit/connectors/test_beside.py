"""What a container beside a workload is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.runtimes import compose_beside, kubernetes_beside
from opsbook.connectors.runtimes.beside import ERRORS, OUT, Beside, Hear, Said, Within
from opsbook.connectors.runtimes.compose_create import Wanted
from opsbook.errors import Refused

WANTED = Beside("db-recovery", "run/3", "db", 600.0, (5432,))


def stateful(**spec: Any) -> dict[str, Any]:
    pod = {
        "initContainers": [{"name": "copies", "image": "localhost/db:1"}],
        "containers": [{"name": "db", "image": "localhost/db:1", "ports": [{"containerPort": 5432}],
                        "resources": {"limits": {"memory": "1Gi"}, "requests": {"memory": "1Gi"}}}],
        "affinity": {"podAntiAffinity": {}}, "topologySpreadConstraints": [{}],
    }  # fmt: skip
    return {"kind": "StatefulSet", "metadata": {"name": "db"},
            "spec": {"template": {"metadata": {"labels": {"app": "db"}}, "spec": pod}, **spec}}  # fmt: skip


def test_a_pod_beside_has_the_claims_of_a_stateful_set_and_prepares_nothing() -> None:
    workload = stateful(volumeClaimTemplates=[{"metadata": {"name": "data"}}])
    body = kubernetes_beside.body_of(WANTED, workload, "db", "localhost/db:1", "node7")
    spec = body["spec"]["template"]["spec"]
    assert spec["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}]
    assert "initContainers" not in spec and "topologySpreadConstraints" not in spec
    (terms,) = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node7"]}]}
    assert "podAntiAffinity" not in spec["affinity"]
    assert spec["containers"][0]["resources"] == {
        "limits": {"memory": "1Gi"}, "requests": {"cpu": "10m", "memory": "64Mi"}
    }  # fmt: skip
    assert spec["containers"][0]["image"] == "localhost/db:1" and body["spec"]["activeDeadlineSeconds"] == 600


def test_of_several_pods_none_is_taken_for_the_servers() -> None:
    workload = stateful(volumeClaimTemplates=[{"metadata": {"name": "data"}}], replicas=3)
    with pytest.raises(Refused, match="whose files of db are meant cannot be known: it has 3 replicas"):
        kubernetes_beside.body_of(WANTED, workload, "db", "localhost/db:1", "node7")


def test_a_container_beside_publishes_its_ports_on_loopback_alone() -> None:
    config = {"Env": [], "Labels": {}, "HostConfig": {"Binds": ["data:/data"], "PortBindings": {"5432/tcp": []}}}
    body = compose_beside.body_of(Wanted("shop-db-recovery", config, {"shop_default": ("db",)}), WANTED)
    assert body["HostConfig"]["PortBindings"] == {"5432/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
    assert body["HostConfig"]["Binds"] == ["data:/data"] and body["Labels"]["opsbook.key"] == "run/3"
    assert body["NetworkingConfig"]["EndpointsConfig"] == {"shop_default": {}}, "no name by which others find it"


class Engine:
    """Answers as it is told, or not at all."""

    def __init__(self, code: int | None = 0) -> None:
        self.code, self.asked = code, list[tuple[list[str], bytes]]()

    async def talk(self, argv: Sequence[str], given: bytes, hear: Hear) -> tuple[int | None, str]:
        self.asked.append((list(argv), given))
        if "sleep" in argv:
            await asyncio.sleep(60)
        await hear(OUT, b"one\n")
        await hear(ERRORS, b"no room\n")
        return self.code, "its pod was taken away"

    async def address(self, port: int) -> tuple[str, int]:
        return "127.0.0.1", port


async def test_a_command_that_does_not_end_in_time_is_ended_by_its_mark() -> None:
    engine = Engine()
    said = await Within(engine, "run/3").run(["sleep", "60"], seconds=0.01)
    assert (said.code, said.why) == (None, "it did not end within 0.01 s and was ended")
    assert "OPSBOOK_KEY=run/3" in engine.asked[0][0]
    assert engine.asked[0][0][2] in engine.asked[1][0], "its own mark, and not all of the change"


async def test_what_a_command_says_is_told_apart_and_a_file_goes_by_standard_input() -> None:
    assert await Within(Engine(), "k").run(["true"], seconds=5) == Said(0, "one\n", "no room\n")
    assert (await Within(Engine(None), "k").run(["true"], seconds=5)).why == "its pod was taken away"
    engine = Engine(1)
    with pytest.raises(ChangeFailed, match="/data/word cannot be written: no room"):
        await Within(engine, "k").put("/data/word", b"secret", (70, 70))
    ((argv, given),) = engine.asked
    assert given == b"\nsecret" and "secret" not in str(argv) and argv[-1] == "70:70"
