"""Configurations of containers deployed like versions: env files and mounted files, rolled under load, put back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.config_files import keep, versions
from opsbook.errors import Refused
from tests.integration.asking import asked
from tests.integration.hands import hands_of
from tests.integration.labelled import CHECK, LABEL, SERVE, Labelled
from tests.integration.podman import lacking, new_podman, python
from tests.integration.servers import until

pytestmark = [
    pytest.mark.real,
    pytest.mark.xdist_group("compose"),
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
    pytest.mark.timeout(500),
]
ENV = "# of the shop\nLEVEL=info\nSECRET='first word'\n"


@pytest.fixture(scope="module")
def shop() -> Iterator[Labelled]:
    with new_podman("1") as engine:
        (engine.folder / "api.env").write_text(ENV)
        (engine.folder / "api.env").chmod(0o600)
        (engine.folder / ".env").write_text("COLOUR=grey\n")
        (engine.folder / "app.ini").write_text("colour = blue\n")
        one = Labelled(engine, {
            "api": python(SERVE, healthcheck=CHECK, labels={LABEL: "true"}, env_file="api.env",
                          environment={"TEAM": "shop", "COLOUR": "${COLOUR:-red}"},
                          volumes=["/usr:/usr:ro", "./app.ini:/conf/app.ini:ro"],
                          deploy={"replicas": 2, "update_config": {"delay": "1s"}}),
        })  # fmt: skip
        one.book(deploys={"watch": "2s", "wait": "60s", "latency": "3s", "components": {"api": {}}})
        one.start("api")
        with one.proxy():
            one.serves()
            yield one


def test_a_value_is_rolled_out_without_a_lost_request_and_a_worse_one_goes_back(shop: Labelled) -> None:
    file = shop.folder / "api.env"
    with asked(shop.port, rate=40) as requests:
        view = shop.opsbook("deploy", "api", "--config", "LEVEL=debug")
    assert view["state"] == "done", view["message"]
    assert set(requests) == {"200"}, requests
    assert shop.items()["level"] == "debug"
    assert file.read_text() == ENV.replace("info", "debug")
    assert file.stat().st_mode & 0o777 == 0o600
    (kept,) = versions(file)
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == (ENV, 0o600)
    assert "first word" not in json.dumps(view)
    view = shop.opsbook("deploy", "api", "--config", "LEVEL=errors")
    assert view["state"] == "undone", view["message"]
    until(lambda: shop.items().get("level") == "debug", 30, "it is as before")
    assert file.read_text() == ENV.replace("info", "debug")


def test_one_that_was_killed_goes_on_and_makes_no_container_twice(shop: Labelled) -> None:
    client = shop.engine.client()
    before = {one["Id"] for one in client.containers()}

    def half() -> bool:
        return len({one["Id"] for one in client.containers()} - before) == 1

    with asked(shop.port, rate=40) as requests:
        shop.killed("deploy", "api", "--config", "LEVEL=trace", when=half)
        (run, *_) = shop.opsbook("runs")
        view = shop.opsbook("runs", "follow", run["id"])
    assert view["state"] == "done", view["message"]
    assert set(requests) == {"200"}, requests
    assert [one["Labels"]["com.docker.compose.service"] for one in client.containers()] == ["api", "api"]
    assert before.isdisjoint(one["Id"] for one in client.containers())
    client.close()
    assert shop.items()["level"] == "trace"


async def test_what_does_not_come_up_is_put_back_and_a_mounted_file_is_deployed_whole(shop: Labelled) -> None:
    file, level = shop.folder / "api.env", (await asyncio.to_thread(shop.items))["level"]
    before, mounted = file.read_text(), (shop.folder / "app.ini").read_text()
    other = "colour = green\n" if "blue" in mounted else "colour = blue\n"
    async with hands_of(shop.engine.system({"api": {"kind": "workload"}})) as hands:
        with pytest.raises(ChangeFailed, match=r"there is no level unknown.*api\.env was put back"):
            await hands.do("config.deploy", of="api", values='{"LEVEL": "unknown"}', wait=30)
        assert file.read_text() == before
        with pytest.raises(Refused, match="`environment` of api sets TEAM"):
            await hands.plan("config.deploy", of="api", values='{"TEAM": "other"}')
        change = await hands.only("config.deploy", of="api", values=json.dumps({"app.ini": other}))
        assert change.evidence["before"] == {"app.ini": mounted}
        await hands.apply(change)
        found = await asyncio.to_thread(shop.items)
        assert (found["text"], found["level"]) == (other.strip(), level)
        ids = [one.id for one in await hands.connections.runtime.containers("api")]  # type: ignore[attr-defined]
        await hands.apply(change)
        again = [one.id for one in await hands.connections.runtime.containers("api")]  # type: ignore[attr-defined]
        assert again == ids, "twice is once"
        with pytest.raises(Refused, match=r"COLOUR is of the `\.env` and LEVEL is not"):
            await hands.plan("config.deploy", of="api", values='{"COLOUR": "pink", "LEVEL": "info"}')
        await hands.do("config.deploy", of="api", values='{"COLOUR": "pink"}')
        assert (shop.folder / ".env").read_text() == "COLOUR=pink\n"
        assert (await hands.connections.runtime.environment("api"))["COLOUR"] == "pink"
        # What was rotated meanwhile stays when a value goes back.
        change = await hands.only("config.deploy", of="api", values='{"LEVEL": "info", "MORE": "1"}')
        await hands.apply(change)
        file.write_text(file.read_text().replace("first word", "second word"))
        await hands.undo(change)
        assert file.read_text() == before.replace("first word", "second word")
        keep(file, b"LEVEL=older\n")
        keep(file, b"LEVEL=old\n")
        pruned = await hands.do("config.prune", of="api", keep=1)
        assert len(pruned["removed"]) >= 2
        assert [len(versions(path)) for path in (file, shop.folder / "app.ini")] == [1, 1]
