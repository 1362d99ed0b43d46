"""Running checks: at their rhythm, never over each other, a cause before what follows from it, stored as decided."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from tests.unit.watch.watched import HandClock, a_watch

from opsbook.book.checks import Check
from opsbook.checks.evaluate import Result, State
from opsbook.checks.sweep import Sweep
from opsbook.connectors.contract import Failure
from opsbook.observations.registry import observations
from opsbook.store.database import StoreFailed, reading
from opsbook.store.tables import check_results
from opsbook.store.watch_tables import alerts
from opsbook.watch.checking import SLOWEST, Checking
from opsbook.watch.contract import Watch

CHECKS = [
    {"id": "db-up", "observe": "postgres.up", "of": "database", "interval": "30s"},
    {"id": "db-size", "observe": "postgres.database_size", "of": "database", "warning": "> 1GB"},
    {"id": "api-up", "observe": "http.up", "of": "api"},
]


class Nobody:
    async def read(self) -> None: ...

    def forget(self) -> None: ...

    def of(self, _: str) -> Nobody:
        return self


class World:
    """What the checks of a test find, instead of what a network would say."""

    def __init__(self, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
        self.watch = watch
        self.states: dict[str, State] = {}
        self.late: set[str] = set()
        self.asked: list[list[str]] = []
        self.hanging: asyncio.Event | None = None

        @asynccontextmanager
        async def connections(_: object) -> AsyncIterator[Nobody]:
            yield Nobody()

        monkeypatch.setattr(watch.setting, "connections", connections)
        monkeypatch.setattr("opsbook.watch.checking.sweep", self.sweep)
        monkeypatch.setattr("opsbook.watch.checking.PATIENCE", 0.004)
        monkeypatch.setattr("opsbook.watch.checking.GATHER", 0.002)

    async def sweep(
        self, system: Any, checks: Sequence[Check], _c: object, clock: HandClock, _b: object = None
    ) -> Sweep:
        self.asked.append(sorted(check.id for check in checks))
        if self.hanging is not None and any(check.of == "database" for check in checks):
            await self.hanging.wait()
        return Sweep("shop", "production", clock.now(), 0.0, tuple(self.result(check) for check in checks))

    def result(self, check: Check) -> Result:
        failure = Failure.TIMEOUT if check.of in self.late else None
        state = self.states.get(check.id, State.OK)
        spec = observations()[check.observe].spec
        return Result(check, spec, state, 1.0, "said", self.watch.setting.clock.now(), failure=failure)

    def move(self, **by: float) -> Any:
        assert isinstance(self.watch.setting.clock, HandClock)
        return self.watch.setting.clock.move(**by)

    async def pass_time(self, part: Checking, seconds: int, step: int = 1) -> None:
        for _ in range(0, seconds, step):
            now = self.move(seconds=step)
            for _ in range(4):
                if await part.tick(now) > now:
                    break


def stored(watch: Watch) -> dict[str, int]:
    with reading(watch.setting.store) as connection:
        ids = list(connection.execute(select(check_results.c.check_id)).scalars())
    return {id: ids.count(id) for id in ids}


def open_alerts(watch: Watch) -> dict[str, tuple[str, str]]:
    with reading(watch.setting.store) as connection:
        wanted = select(alerts.c.fingerprint, alerts.c.phase, alerts.c.cause).where(alerts.c.open_key.is_not(None))
        return {row.fingerprint: (row.phase, row.cause) for row in connection.execute(wanted)}


@pytest.fixture
def world(store: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(a_watch(tmp_path, store, HandClock(), checks=CHECKS), monkeypatch)


async def test_each_check_runs_once_in_its_interval_and_a_new_process_does_not_repeat_it(world: World) -> None:
    part = Checking(world.watch)
    await world.pass_time(part, 120, 5)
    found = stored(world.watch)
    assert found["db-up"] in (4, 5)
    assert found["db-size"] in (2, 3)
    assert found["api-up"] in (2, 3)
    await part.close()
    again = Checking(world.watch)
    await again.tick(world.watch.setting.clock.now())
    assert stored(world.watch) == found


async def test_a_cause_is_asked_at_once_and_told_instead_of_what_follows(world: World) -> None:
    part = Checking(world.watch)
    await world.pass_time(part, 65, 5)
    world.states = {"db-up": State.CRITICAL, "api-up": State.CRITICAL, "db-size": State.UNKNOWN}
    while "check:api-up" not in open_alerts(world.watch):
        await world.pass_time(part, 1)
    found = open_alerts(world.watch)
    assert found["check:db-up"] == ("firing", "")
    assert found["check:api-up"] == ("pending", "check:db-up")
    await world.pass_time(part, 130, 5)
    assert open_alerts(world.watch)["check:api-up"] == ("pending", "check:db-up")
    world.states = {"api-up": State.CRITICAL}
    await world.pass_time(part, 185, 5)
    assert open_alerts(world.watch) == {"check:api-up": ("firing", "")}


async def test_a_component_that_hangs_holds_up_no_other_and_is_not_asked_twice(world: World) -> None:
    world.hanging = asyncio.Event()
    part = Checking(world.watch)
    await world.pass_time(part, 180, 10)
    found = stored(world.watch)
    assert set(found) == {"api-up"}
    assert found["api-up"] >= 3
    assert sum("db-up" in ids for ids in world.asked) == 1
    world.hanging.set()
    await world.pass_time(part, 2)
    assert "db-up" in stored(world.watch)
    await part.close()


async def test_a_component_that_does_not_answer_in_time_is_asked_less_often_but_for_whether_it_is_there(
    world: World,
) -> None:
    part = Checking(world.watch)
    world.late = {"database"}
    await world.pass_time(part, 1800, 10)
    assert part.slow == {"database": SLOWEST}
    assert list(part.told_slow()) == ["database does not answer in time: it is asked 8 times less often"]
    before = stored(world.watch)
    assert before["db-up"] > 50
    assert before["db-size"] < 9
    world.late = set()
    await world.pass_time(part, 60, 10)
    assert part.slow == {}


async def test_what_could_not_be_stored_is_asked_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    part = Checking(world.watch)

    def gone(_: object) -> None:
        raise StoreFailed("the store is gone")

    with monkeypatch.context() as patch:
        patch.setattr(world.watch.setting, "write", gone)
        with pytest.raises(StoreFailed):
            await world.pass_time(part, 3)
    assert stored(world.watch) == {}
    await world.pass_time(part, 3)
    assert set(stored(world.watch)) == {"db-up", "db-size", "api-up"}


async def test_set_back_by_an_hour_it_goes_on_at_once(world: World) -> None:
    part = Checking(world.watch)
    await world.pass_time(part, 120, 10)
    before = stored(world.watch)
    world.move(hours=-1)
    await world.pass_time(part, 70, 10)
    assert stored(world.watch)["api-up"] > before["api-up"]
    assert part.next_due(world.watch.setting.clock.now()) <= world.watch.setting.clock.now() + timedelta(minutes=1)


async def test_set_ahead_by_six_hours_each_check_runs_once_and_not_for_all_the_times_between(world: World) -> None:
    part = Checking(world.watch)
    await world.pass_time(part, 120, 10)
    before = stored(world.watch)
    world.move(hours=6)
    await world.pass_time(part, 10, 10)
    await world.pass_time(part, 10, 10)
    assert {id: count - before[id] for id, count in stored(world.watch).items() if id != "db-up"} == {
        "db-size": 1, "api-up": 1,
    }  # fmt: skip
    assert part.next_due(world.watch.setting.clock.now()) <= world.watch.setting.clock.now() + timedelta(minutes=1)


async def test_many_that_turn_bad_together_ask_their_cause_once(
    store: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    components = {
        f"api{n}": {"kind": "http", "url": "http://127.0.0.1:1", "depends_on": ["database"]} for n in range(40)
    }
    checks = [
        {"id": "db-up", "observe": "postgres.up", "of": "database", "interval": "1h"},
        *({"id": f"up{n}", "observe": "http.up", "of": f"api{n}"} for n in range(40)),
    ]
    known = {"database": {"kind": "postgres", "dsn": "postgresql://localhost/none"}, **components}
    watch = a_watch(tmp_path, store, HandClock(), components=known, checks=checks)
    world, part = World(watch, monkeypatch), Checking(watch)
    await world.pass_time(part, 65, 5)
    before = len(world.asked)
    world.states = dict.fromkeys((check["id"] for check in checks), State.CRITICAL)
    await world.pass_time(part, 65, 5)
    asked = [ids for ids in world.asked[before:] if ids == ["db-up"]]
    assert 1 <= len(asked) <= 14
    found = open_alerts(watch)
    assert found.pop("check:db-up") == ("firing", "")
    assert set(found.values()) == {("pending", "check:db-up")}
    assert stored(watch)["db-up"] == len(asked) + 1


async def test_what_other_lanes_answered_is_kept_where_one_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    checking, whole = Checking(world.watch), world.sweep

    async def sweep(system: Any, checks: Sequence[Check], *rest: Any) -> Sweep:
        if checks[0].of == "database":
            raise ValueError("a fault")
        return await whole(system, checks, *rest)

    monkeypatch.setattr("opsbook.watch.checking.sweep", sweep)
    with pytest.raises(ValueError, match="a fault"):
        for _ in range(5):
            await checking.tick(world.watch.setting.clock.now())
    assert list(stored(world.watch)) == ["api-up"]
