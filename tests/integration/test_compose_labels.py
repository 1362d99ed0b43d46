"""Sides that a proxy tells apart by a label of their containers: switched under load, back by itself, killed within."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import httpx
import pytest

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.registry import open_connections
from opsbook.connectors.runtimes.compose import Compose
from opsbook.connectors.runtimes.compose_record import Record
from opsbook.connectors.switches.labels import LabelSwitch
from tests.integration.asking import asked
from tests.integration.labelled import CHECK, LABEL, SERVE, Labelled
from tests.integration.podman import lacking, new_podman, python
from tests.integration.servers import free_port, until

pytestmark = [
    pytest.mark.real,
    pytest.mark.xdist_group("compose"),
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
    pytest.mark.timeout(500),
]
RATE, TILL = 50, "till.serves"


SIDES_OF_TILL = ("till", "till-green")
DELAY = {"update_config": {"delay": "1s"}}
"""How long a new container is ready before an old one goes: the proxy looks five times meanwhile."""


@pytest.fixture(scope="module")
def shop() -> Iterator[Labelled]:
    with new_podman("1", "2", "3", "errors") as engine:
        alone = {"healthcheck": CHECK, "stop_grace_period": "2s"}
        one = Labelled(engine, {
            "api": python(SERVE, healthcheck=CHECK, deploy=DELAY, labels={LABEL: "true", "team": "shop"}),
            "api-green": python(SERVE, healthcheck=CHECK, deploy=DELAY),
            "till": python(SERVE, **alone, ports=[f"127.0.0.1:{free_port()}:8000"], labels={TILL: "on"}),
            "till-green": python(SERVE, **alone, ports=[f"127.0.0.1:{free_port()}:8000"]),
        })  # fmt: skip
        one.book()
        one.start("api")
        with one.proxy():
            one.serves()
            yield one


def said(shop: Labelled) -> dict[str, int]:
    found: dict[str, int] = json.loads(httpx.get(f"http://127.0.0.1:{shop.port}/-/said", timeout=5).text)
    return found


def test_the_side_with_the_label_is_switched_and_no_request_is_lost(shop: Labelled) -> None:
    file = shop.engine.file.read_bytes()
    with asked(shop.port, rate=RATE) as requests:
        view = shop.opsbook("deploy", "api", "2")
        assert view["state"] == "done", view["message"]
        assert (shop.items()["version"], shop.carrying()) == ("2", ["api-green"])
        view = shop.opsbook("rollback", "api")
        assert view["state"] == "done", view["message"]
        assert (shop.items()["version"], shop.carrying()) == ("1", ["api-green"])
    print("requests", dict(requests), said(shop))
    assert set(requests) == {"200"}, requests
    assert shop.engine.file.read_bytes() == file, "the compose file is the team's"


def test_one_that_answers_with_errors_goes_back_by_its_labels(shop: Labelled) -> None:
    before, version = shop.carrying(), shop.items()["version"]
    with asked(shop.port, rate=RATE) as requests:
        view = shop.opsbook("deploy", "api", "errors")
    assert view["state"] == "undone", view["message"]
    assert (shop.items()["version"], shop.carrying()) == (version, before)
    assert set(requests) <= {"200", "500"}, "wrong answers are the version's own; none is lost"


def test_a_switch_that_was_killed_goes_on_by_what_the_containers_carry(shop: Labelled) -> None:
    record = Record(shop.engine.file.with_name(f".{shop.engine.project}.deploys.jsonl"))
    (before,) = shop.carrying()
    after = "api" if before == "api-green" else "api-green"
    with asked(shop.port, rate=RATE) as requests:
        shop.killed("deploy", "api", "3", when=lambda: record.carries(after))
        assert before in shop.carrying(), "what served is not touched before the other side is ready"
        (run, *_) = shop.opsbook("runs")
        view = shop.opsbook("runs", "follow", run["id"])
        assert view["state"] == "done", view["message"]
        until(lambda: shop.items().get("version") == "3", 30, "the new version serves")
    assert shop.carrying() == [after]
    assert set(requests) == {"200"}, requests


async def test_sides_that_publish_a_port_take_turns_and_what_was_cut_off_is_gone_on_with(shop: Labelled) -> None:
    client = shop.engine.client()
    async with open_connections(shop.engine.system({"till": {"kind": "workload"}})) as connections:
        compose = connections.runtime
        assert isinstance(compose, Compose)
        switch = LabelSwitch(compose, {TILL: "on"}, {"blue": "till", "green": "till-green"}, 60, 0.1)
        with pytest.raises(ChangeFailed, match="nothing of till-green runs"):
            await switch.send("green")
        await asyncio.to_thread(shop.start, "till", "till-green")
        assert await switch.active() == "blue"
        assert (await switch.told("green"))["made anew"] == [f"{shop.engine.project}-{n}-1" for n in SIDES_OF_TILL]
        await switch.send("green")
        assert (await switch.active(), shop.carrying(TILL, "on")) == ("green", ["till-green"])
        # As it is left by whoever is killed after the old one has stopped, and before the new one is made.
        (old,) = await compose.containers("till")
        client.rename(old.id, f"{old.name}-before")
        client.stop(old.id, timeout=2)
        await switch.send("blue")
        assert (await switch.active(), shop.carrying(TILL, "on")) == ("blue", ["till"])
        assert [len(await compose.containers(name)) for name in SIDES_OF_TILL] == [1, 1]
        (blue,) = await compose.containers("till")
        assert blue.ready
        await switch.send("blue")
        (again,) = await compose.containers("till")
        assert again.id == blue.id, "done again it does nothing more"
    client.close()
