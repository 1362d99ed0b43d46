"""Operations of workloads over a real supervisord, with the health gate of what serves HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from opsbook.connectors.change import Change, ChangeFailed
from opsbook.connectors.runtimes.contract import Unsupported
from opsbook.errors import Absent, Refused
from tests.integration.hands import Hands, hands_of
from tests.integration.servers import free_port
from tests.integration.supervisord import Supervisord, new_supervisord

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def server() -> Iterator[Supervisord]:
    with new_supervisord() as one:
        yield one


def components(server: Supervisord) -> dict[str, dict[str, Any]]:
    return {
        "worker": {"kind": "workload", "replicas": 2},
        "single": {"kind": "workload"},
        "web": {"kind": "http", "url": f"http://127.0.0.1:{server.port}", "workload": "web", "replicas": 2},
        "astray": {"kind": "http", "url": f"http://127.0.0.1:{free_port()}", "workload": "extra"},
        "nowhere": {"kind": "http", "url": "http://127.0.0.1:1"},
    }


@pytest.fixture
async def hands(server: Supervisord) -> AsyncIterator[Hands]:
    async with hands_of(server.system(components(server))) as one:
        for name in ("worker", "web", "single"):
            await one.do("workload.stop", of=name)
        yield one


async def ready(hands: Hands, workload: str) -> int:
    return (await hands.connections.runtime.status(workload)).workload.ready


async def test_it_starts_as_many_as_the_book_says_and_undo_stops_them(hands: Hands) -> None:
    (change,) = await hands.plan("workload.start", of="worker")
    assert await ready(hands, "worker") == 0, "planning changes nothing"
    await hands.apply(change)
    assert await ready(hands, "worker") == 2
    await hands.undo(change)
    assert await ready(hands, "worker") == 0


async def test_it_waits_until_what_it_started_is_healthy(hands: Hands) -> None:
    started, gate = await hands.plan("workload.start", of="web")
    assert gate.effect == {"component": "web", "healthy": True, "within": 120.0}
    await hands.apply(started)
    assert (await hands.apply(gate))["answer"].startswith("200")
    assert len(await hands.plan("workload.restart", of="web", health=False)) == 1


async def test_what_does_not_become_healthy_is_a_failure(hands: Hands) -> None:
    (_, gate) = await hands.plan("workload.start", of="astray", wait=1)
    with pytest.raises(ChangeFailed, match="astray is not healthy after 1 s"):
        await hands.apply(gate)


async def test_it_scales_and_undo_goes_back(hands: Hands) -> None:
    await hands.do("workload.start", of="worker")
    (change,) = await hands.plan("workload.scale", of="worker", replicas=4)
    await hands.apply(change)
    await hands.apply(change)
    assert await ready(hands, "worker") == 4
    await hands.undo(change)
    assert await ready(hands, "worker") == 2
    with pytest.raises(Unsupported, match="4 slots"):
        await hands.plan("workload.scale", of="worker", replicas=5)
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        await hands.plan("workload.scale", of="worker", replicas=0)


async def test_it_restarts_one_by_one(hands: Hands) -> None:
    await hands.do("workload.start", of="worker")
    before = {one.pid for one in (await hands.connections.runtime.status("worker")).instances if one.pid}
    (change,) = await hands.plan("workload.restart", of="worker")
    await hands.apply(change)
    after = {one.pid for one in (await hands.connections.runtime.status("worker")).instances if one.pid}
    assert len(after) == 2
    assert not before & after
    assert hands.slices == 2


async def test_it_deploys_a_version_and_goes_back(hands: Hands) -> None:
    await hands.do("workload.start", of="worker")
    (change,) = await hands.plan("workload.deploy", of="worker", version="1.1.0")
    await hands.apply(change)
    assert (await hands.connections.runtime.status("worker")).version == "1.1.0"
    await hands.do("workload.rollback", of="worker")
    assert (await hands.connections.runtime.status("worker")).version == "1.0.0"


async def test_it_runs_one_command(hands: Hands) -> None:
    (change,) = await hands.plan("workload.exec", of="worker", argv=["sh", "-c", "echo $QUEUE from $PWD"])
    assert (await hands.apply(change))["exit"] == 0
    assert "harvest from " in hands.out.text
    assert await hands.verify("workload.exec", change) == "unknown", "what it did nobody can tell"


async def test_it_refuses_what_has_no_workload(hands: Hands) -> None:
    with pytest.raises(Absent, match="nowhere has no workload"):
        await hands.plan("workload.stop", of="nowhere")
    with pytest.raises(Refused, match="no process of 'single' runs"):
        await hands.plan("workload.restart", of="single")


async def test_a_planned_change_is_refused_when_the_slots_are_others(hands: Hands) -> None:
    (change,) = await hands.plan("workload.stop", of="worker")
    moved = Change(change.kind, change.effect, change.evidence, {"slots": ["worker_00"]}, change.inverse)
    with pytest.raises(Refused, match="not those of the plan"):
        await hands.apply(moved)
