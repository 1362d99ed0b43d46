"""Deploys on a real cluster, under load: no request is lost, and what is bad goes back by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.deadly import Fault
from tests.faults.deploy_kills import Deployed
from tests.faults.kills import Count
from tests.integration.cluster import needs_kubernetes, new_namespace
from tests.integration.kubernetes_shop import Shop, book, objects

pytestmark = [
    pytest.mark.real,
    needs_kubernetes,
    pytest.mark.xdist_group("kubernetes"),
    pytest.mark.timeout(400),
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with new_namespace(*objects()) as cluster:
        one = Shop(cluster, book(cluster, tmp_path_factory.mktemp("shop") / "ops"))
        one.scale("api", 2)
        one.scale("ask", 1)
        yield one


def test_a_version_is_switched_under_load_and_rolled_back_without_a_lost_request(shop: Shop) -> None:
    with shop.asked() as requests:
        view = shop.run("deploy", "api", "2")
        assert view["state"] == "done", view["message"]
        assert shop.serving() == ("green", "2")
        assert shop.get("Deployment", "api")["spec"]["replicas"] == 0, "the old side was stopped"
        assert shop.get("Deployment", "api-green")["spec"]["replicas"] == 2, "as many as served before"
        assert shop.get("HorizontalPodAutoscaler", "api")["spec"]["scaleTargetRef"]["name"] == "api-green"
        back = shop.run("rollback", "api")
        assert back["state"] == "done", back["message"]
        assert shop.serving() == ("green", "1")
    assert set(requests) == {"200"}, requests
    assert requests["200"] > 100


@pytest.mark.parametrize("fault", ["errors", "slow", "wrong"])
def test_a_version_that_is_worse_goes_back_by_itself(shop: Shop, fault: str) -> None:
    before = shop.serving()
    other = "2" if before[1] == "1" else "1"
    shop.fault(other, fault)
    try:
        with shop.asked() as requests:
            view = shop.run("deploy", "api", other)
    finally:
        shop.fault(other, "")
    assert view["state"] == "undone", view["message"]
    assert shop.serving() == before
    assert requests["200"] > 0


def test_a_deploy_that_is_killed_at_its_steps_ends_with_one_version_that_serves(shop: Shop, tmp_path: Path) -> None:
    count = Count()
    faults = [Fault("bring-up/1", "middle", 1.0), Fault("switch/0", "noted"), Fault("switch/1", "after"),
              Fault("watch/0", "middle", 1.0), Fault("retire/0", "middle", 0.3)]  # fmt: skip
    Deployed(shop, bad=False, faults=faults, folder=tmp_path / "good", count=count).see_through()
    faults = [Fault("switch/1", "before"), Fault("switch/1/undo", "after"), Fault("bring-up/1/undo", "middle", 0.3)]
    Deployed(shop, bad=True, faults=faults, folder=tmp_path / "bad", count=count).see_through()
    assert count.wrong == []
    assert count.kills >= 7, count
