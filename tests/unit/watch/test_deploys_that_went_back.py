"""A deploy that went back by itself is an incident, until it is long ago or another one went well."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, select
from tests.unit.watch.watched import BOOK, HandClock, a_watch

from opsbook.store.database import reading, writing
from opsbook.store.tables import runs
from opsbook.store.watch_tables import alerts
from opsbook.watch.contract import Watch
from opsbook.watch.deploys import DeploysThatWentBack

COMPONENTS = {**BOOK["components"], "api": {**BOOK["components"]["api"], "workload": "api"},
              "api-admin": {"kind": "http", "url": "http://127.0.0.1:1", "workload": "admin"}}  # fmt: skip


def ran(
    store: Engine, clock: HandClock, procedure: str, state: str, origin: str = "", waited: float = 60, **given: str
) -> None:
    """A run that ended just now, and was asked for so many seconds ago."""
    now = clock.now().timestamp()
    row = {column.name: "" for column in runs.columns if not column.nullable and column.type.python_type is str}
    row |= {"id": f"r{now}", "system": "shop", "environment": "production", "state": state, "procedure": procedure,
            "parameters": json.dumps(given or {"version": "3-broken"}), "message": "api: 9 of 20 requests failed",
            "risk": "safe",
            "requested_at": now - waited, "started_at": now - 60, "ended_at": now, "woken": 0, "heard": 0, "crashes": 0,
            "origin": origin}  # type: ignore[dict-item]  # fmt: skip
    with writing(store) as connection:
        connection.execute(insert(runs), [row])


async def told(watch: Watch, clock: HandClock) -> dict[str, str]:
    await DeploysThatWentBack(watch).tick(clock.now())
    with reading(watch.setting.store) as connection:
        rows = connection.execute(select(alerts.c.fingerprint, alerts.c.sentence).where(alerts.c.open_key.is_not(None)))
        return {row.fingerprint: row.sentence for row in rows}


@pytest.fixture
def clock() -> HandClock:
    return HandClock(datetime.now(UTC).replace(microsecond=0))


async def test_it_is_told_of_its_component_and_ends_with_a_good_one(
    tmp_path: Path, store: Engine, clock: HandClock
) -> None:
    watch = a_watch(tmp_path, store, clock, components=COMPONENTS)
    assert await told(watch, clock) == {}
    ran(store, clock, "deploy-api-blue-green", "undone")
    found = await told(watch, clock)
    assert list(found) == ["deploy:api"]
    assert found["deploy:api"].startswith("api 3-broken went back by itself: api: 9 of 20 requests failed (run r")
    clock.move(minutes=2)
    ran(store, clock, "deploy-api-blue-green", "done")
    assert await told(watch, clock) == {}


@pytest.mark.parametrize(
    ("state", "minutes", "still"), [("undone", 10, True), ("undone", 20, False), ("failed", 3000, True)]
)
async def test_one_that_went_back_is_told_for_a_while_and_one_that_could_not_until_another_goes_well(
    tmp_path: Path, store: Engine, clock: HandClock, state: str, minutes: int, still: bool
) -> None:
    watch = a_watch(tmp_path, store, clock, components=COMPONENTS)
    ran(store, clock, "deploy-api-admin-rolling", state)
    assert list(await told(watch, clock)) == ["deploy:api-admin"]
    clock.move(minutes=minutes)
    assert bool(await told(watch, clock)) is still


async def test_a_rollback_that_failed_does_not_end_what_the_deploy_began(
    tmp_path: Path, store: Engine, clock: HandClock
) -> None:
    watch = a_watch(tmp_path, store, clock, components=COMPONENTS)
    ran(store, clock, "deploy-api-rolling", "failed")
    assert list(await told(watch, clock)) == ["deploy:api"]
    clock.move(minutes=1)
    ran(store, clock, "rollback-api", "failed")
    assert (await told(watch, clock))["deploy:api"].startswith("the rollback of api 3-broken ended failed: ")
    clock.move(minutes=1)
    ran(store, clock, "rollback-api", "done")
    assert await told(watch, clock) == {}


async def test_an_update_of_the_whole_system_is_told_as_one(tmp_path: Path, store: Engine, clock: HandClock) -> None:
    watch = a_watch(tmp_path, store, clock, components=COMPONENTS)
    ran(store, clock, "update-system", "undone")
    found = await told(watch, clock)
    assert list(found) == ["deploy:update-system"]
    assert found["deploy:update-system"].startswith("the whole system went back by itself: api: 9 of 20")
    clock.move(minutes=2)
    ran(store, clock, "update-system", "done")
    assert await told(watch, clock) == {}


async def test_what_a_rehearsal_deploys_is_its_own_affair(tmp_path: Path, store: Engine, clock: HandClock) -> None:
    watch = a_watch(tmp_path, store, clock, components=COMPONENTS)
    ran(store, clock, "deploy-api-rolling", "undone", origin="rehearsal of a test, rehearsal-1")
    assert await told(watch, clock) == {}


WEEKEND = 3 * 86_400.0


async def test_it_counts_when_a_deploy_ended_not_when_it_was_asked_for(
    tmp_path: Path, store: Engine, clock: HandClock
) -> None:
    watch = a_watch(tmp_path, store, clock, components=COMPONENTS)
    ran(store, clock, "deploy-api-rolling", "failed", waited=WEEKEND)
    assert list(await told(watch, clock)) == ["deploy:api"]
    clock.move(minutes=1)
    ran(store, clock, "deploy-api-rolling", "done", waited=WEEKEND)
    assert await told(watch, clock) == {}
    clock.move(minutes=1)
    ran(store, clock, "deploy-api-rolling", "undone", waited=86_000)
    assert list(await told(watch, clock)) == ["deploy:api"]
    clock.move(minutes=16)
    assert await told(watch, clock) == {}


async def test_one_that_was_refused_or_cancelled_mends_nothing(tmp_path: Path, store: Engine, clock: HandClock) -> None:
    watch = a_watch(tmp_path, store, clock, components=COMPONENTS)
    ran(store, clock, "deploy-api-rolling", "failed")
    for state in ("refused", "cancelled"):
        clock.move(minutes=1)
        ran(store, clock, "deploy-api-rolling", state)
        assert list(await told(watch, clock)) == ["deploy:api"]


async def test_a_good_update_ends_what_was_told_of_the_components_that_it_brought(
    tmp_path: Path, store: Engine, clock: HandClock
) -> None:
    watch = a_watch(tmp_path, store, clock, components=COMPONENTS)
    ran(store, clock, "deploy-api-rolling", "failed")
    clock.move(minutes=1)
    ran(store, clock, "deploy-api-admin-rolling", "failed")
    assert set(await told(watch, clock)) == {"deploy:api", "deploy:api-admin"}
    clock.move(minutes=1)
    ran(store, clock, "update-system", "done", api_admin="4", api="")
    assert list(await told(watch, clock)) == ["deploy:api"]


async def test_a_failed_update_is_over_when_each_of_its_components_went_well(
    tmp_path: Path, store: Engine, clock: HandClock
) -> None:
    watch = a_watch(tmp_path, store, clock, components=COMPONENTS)
    ran(store, clock, "deploy-api-admin-rolling", "done")
    clock.move(minutes=1)
    ran(store, clock, "update-system", "failed", api="4", api_admin="4")
    assert list(await told(watch, clock)) == ["deploy:update-system"]
    clock.move(hours=1)
    ran(store, clock, "rollback-api", "done")
    assert list(await told(watch, clock)) == ["deploy:update-system"]
    clock.move(hours=40)
    ran(store, clock, "deploy-api-admin-rolling", "done")
    assert await told(watch, clock) == {}
    clock.move(minutes=1)
    ran(store, clock, "deploy-api-rolling", "failed")
    assert list(await told(watch, clock)) == ["deploy:api"]
