"""The loop over the parts, who leads it, and what wakes it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import Engine
from tests.unit.watch.watched import HandClock, a_watch

from opsbook.errors import OpsbookError
from opsbook.store import leases
from opsbook.store.database import writing
from opsbook.watch.contract import Watch
from opsbook.watch.leadership import LEASE, Leadership
from opsbook.watch.loop import AGAIN, LONGEST, Loop
from opsbook.watch.waking import Bell, wake


class Counting:
    def __init__(self, name: str, wait: float = 1.0, error: Exception | None = None) -> None:
        self.name, self.wait, self.error = name, wait, error
        self.ticks = 0
        self.closed = False

    async def tick(self, now: datetime) -> datetime:
        self.ticks += 1
        if self.error:
            raise self.error
        return now + timedelta(seconds=self.wait)

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def watch(store: Engine, tmp_path: Path) -> Watch:
    return a_watch(tmp_path, store, HandClock())


async def test_a_part_that_fails_is_called_again_and_the_others_go_on(watch: Watch) -> None:
    good, bad, broken = (
        Counting("good"),
        Counting("bad", error=OpsbookError("no")),
        Counting("b", error=ValueError("x")),
    )
    loop = Loop(watch, [good, bad, broken])
    assert [await loop.tick(bad) for _ in range(7)] == [*AGAIN, AGAIN[-1], AGAIN[-1]]
    assert await loop.tick(broken) == AGAIN[0]
    assert await loop.tick(good) == 1.0
    assert (watch.standings["bad"].failed, watch.standings["bad"].error) == (7, "no")
    assert "ValueError" in watch.standings["b"].error
    bad.error = None
    await loop.tick(bad)
    assert watch.standings["bad"].failed == 0


async def test_it_never_waits_for_longer_than_a_clock_that_is_set_back_may_cost(watch: Watch) -> None:
    assert await Loop(watch, [far := Counting("far", 86_400)]).tick(far) == LONGEST


async def test_it_ends_when_it_is_told_to_and_closes_what_is_open(watch: Watch) -> None:
    parts = [Counting("a", 3600), Counting("b", 0)]
    stop = asyncio.Event()
    running = asyncio.create_task(Loop(watch, parts).run(stop))
    async with asyncio.timeout(60):
        while not all(part.ticks for part in parts):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        wake()
        while parts[0].ticks < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        stop.set()
        await running
    assert all(part.closed for part in parts)


async def test_who_does_not_lead_calls_nothing(watch: Watch) -> None:
    part, stop = Counting("a"), asyncio.Event()
    running = asyncio.create_task(Loop(watch, [part], lambda: False).run(stop))
    await asyncio.sleep(0.05)
    stop.set()
    await running
    assert part.ticks == 0


async def test_a_bell_is_heard_from_another_thread_and_not_after_it_is_closed() -> None:
    bell = Bell()
    waiting = asyncio.create_task(bell.wait(20))
    await asyncio.sleep(0)
    Thread(target=wake).start()
    assert await waiting
    bell.close()
    waiting = asyncio.create_task(bell.wait(0.05))
    await asyncio.sleep(0)
    wake()
    assert not await waiting


async def test_one_of_two_leads_and_the_other_takes_over_when_it_is_gone(watch: Watch) -> None:
    first, second = Leadership(watch), Leadership(watch)
    second.holder = "elsewhere"
    clock = watch.setting.clock
    assert isinstance(clock, HandClock)
    assert await first.renew()
    assert not await second.renew()
    assert (first.leads(), second.leads()) == (True, False)
    clock.move(seconds=LEASE / 2)
    assert await first.renew()
    clock.move(seconds=LEASE + 1)
    assert not first.leads()
    assert await second.renew()
    assert not await first.renew()
    await second.end()
    assert await first.renew()


def test_a_lease_counts_its_holders(store: Engine) -> None:
    with writing(store) as connection:
        assert leases.take(connection, "x", "a", 0, 10)
        assert leases.take(connection, "x", "a", 5, 10)
        assert not leases.take(connection, "x", "b", 14, 10)
        assert leases.take(connection, "x", "b", 15, 10)
        found = leases.held(connection, "x", 16)
        assert found is not None
        assert (found.holder, found.fence) == ("b", 2)
        leases.give_back(connection, "x", "a")
        assert leases.held(connection, "x", 16) == found
        assert leases.held(connection, "x", 30) is None


async def test_a_wait_that_was_cancelled_within_a_part_does_not_end_the_watch(watch: Watch) -> None:
    class Waits(Counting):
        async def tick(self, now: datetime) -> datetime:
            task = asyncio.create_task(asyncio.sleep(60))
            task.cancel()
            await task
            return now

    part = Waits("waits")
    assert await Loop(watch, [part]).tick(part) == AGAIN[0]
    assert watch.standings["waits"].failed == 1


def test_two_processes_that_share_host_and_pid_are_not_taken_for_one(watch: Watch) -> None:
    assert Leadership(watch).holder != Leadership(watch).holder
