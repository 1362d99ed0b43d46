"""An autoscaler made, changed, explained and deleted on a real cluster, and resources advised and set there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_autoscalers import Autoscaler, autoscaler_of
from opsbook.connectors.runtimes.kubernetes_why_scaled import why
from opsbook.errors import Refused, UsageError
from opsbook.store.database import open_store
from opsbook.store.history import Point, record
from opsbook.upkeep.advice.everything import Question, advised
from opsbook.upkeep.advice.observed import DAY, History
from opsbook.upkeep.advice.workloads import look
from tests.integration.cluster import BEAT, Cluster, deployment, new_namespace, on_cluster, python
from tests.integration.hands import Hands, hands_of

pytestmark = on_cluster("parts")

NOW = 1_800_000_000.0
COMPONENTS: dict[str, dict[str, Any]] = {name: {"kind": "workload"} for name in ("asks", "asks-nothing")}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    asks = python("asks", BEAT, resources={"requests": {"cpu": "10m", "memory": "32Mi"}})
    with new_namespace(deployment("asks", asks), deployment("asks-nothing", python("asks-nothing", BEAT))) as one:
        yield one


@pytest.fixture
async def hands(cluster: Cluster) -> AsyncIterator[Hands]:
    async with hands_of(cluster.system(COMPONENTS)) as one:
        yield one


async def held(hands: Hands) -> Autoscaler | None:
    runtime = hands.connections.runtime
    assert isinstance(runtime, Kubernetes)
    return await autoscaler_of(runtime, "Deployment", "asks")


async def test_an_autoscaler_is_made_aimed_explained_and_deleted_and_each_is_undone(hands: Hands) -> None:
    with pytest.raises(Refused, match="requests no cpu"):
        await hands.plan("autoscaler.create", of="asks-nothing", most=3, cpu="70%")
    with pytest.raises(UsageError, match="needs `most`, and an aim"):
        await hands.plan("autoscaler.create", of="asks", cpu="70%")

    made = await hands.only("autoscaler.create", of="asks", least=1, most=3, cpu="70%")
    assert await held(hands) is None, "a plan makes nothing"
    await hands.apply(made)
    await hands.apply(made)
    found = await held(hands)
    assert found is not None
    assert (found.least, found.most) == (1, 3)
    assert [(aim.name, aim.target) for aim in found.aims] == [("cpu", 0.7)]
    assert why(found).startswith("asks has ") and "of 1 to 3" in why(found)
    with pytest.raises(Refused, match="holds asks already"):
        await hands.plan("autoscaler.create", of="asks", most=3, cpu="70%")

    aimed = await hands.only("autoscaler.set", of="asks", cpu="60%", memory="80%", most=4)
    await hands.apply(aimed)
    found = await held(hands)
    assert found is not None
    assert {aim.name: aim.target for aim in found.aims} == {"cpu": 0.6, "memory": 0.8}
    with pytest.raises(Refused, match="somebody changed it since"):
        await hands.undo(made)
    await hands.undo(aimed)
    found = await held(hands)
    assert found is not None
    assert ([aim.target for aim in found.aims], found.most) == ([0.7], 3)

    deleted = await hands.only("autoscaler.delete", of="asks")
    await hands.apply(deleted)
    await hands.apply(deleted)
    assert await held(hands) is None
    await hands.undo(deleted)
    found = await held(hands)
    assert found is not None
    assert ([aim.target for aim in found.aims], found.most) == ([0.7], 3)
    await hands.undo(made)
    assert await held(hands) is None


async def test_what_was_used_becomes_requests_and_limits_of_the_container_and_goes_back(
    cluster: Cluster, tmp_path: Path
) -> None:
    checks = [{"id": "cores", "observe": "workload.cores", "of": "asks", "warning": "> 4"},
              {"id": "memory", "observe": "workload.memory", "of": "asks", "warning": "> 4GiB"}]  # fmt: skip
    system = cluster.system(COMPONENTS, checks=checks)
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    for check, value in (("cores", 0.03), ("memory", 50.0 * 2**20)):
        points = [Point(check, NOW - n * 3600, "ok", value, "") for n in range(60, 0, -1)]
        record(store, "test", "test", points, 40 * DAY)
    async with hands_of(system) as hands:
        question = Question(["asks", "asks-nothing"], ["resources", "autoscaler"])
        asks, nothing = await advised(hands.connections, History(store, system, NOW), question)
        figures = {one.name: one.advised for one in asks.advice}
        assert figures == {"cpu_request": "30m", "memory_request": "55Mi", "memory_limit": "60Mi"}
        assert [one.now for one in asks.advice] == ["10m", "32Mi", "not set"]
        assert nothing.advice == () and "no check stores its cpu" in nothing.untold[0]

        (limits,) = await hands.plan("workload.limits", of="asks", **figures)
        await hands.apply(limits)
        seen = await look(hands.connections, "asks")
        assert (seen.given.cpu_request, seen.given.memory_limit) == (0.03, 60 << 20)
        again, _ = await advised(hands.connections, History(store, system, NOW), question)
        assert again.advice == (), "what was taken is not advised again"
        await hands.undo(limits)
        seen = await look(hands.connections, "asks")
        assert (seen.given.cpu_request, seen.given.memory_limit) == (0.01, None)
