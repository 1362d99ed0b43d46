"""Who holds a lock, since when, and what to do about it; what a run costs that waits for a person."""

from __future__ import annotations

import asyncio
import signal
import threading
from pathlib import Path

import pytest

from opsbook.engine import acts
from opsbook.engine.access import Actor
from opsbook.engine.owner import Owner
from opsbook.engine.owner_lock import OwnerLock
from opsbook.engine.states import RunState
from opsbook.engine.views import locks_held, summary
from opsbook.errors import Refused
from opsbook.store.runs import newest
from tests.faults.world import Wish, World, op, person, procedure, until

BOB = Actor("bob", "a test")
AT_ONCE = Wish(confirmed=True, no_wait=True)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_an_interrupted_run_keeps_its_lock_and_it_is_said_whose_it_is(world: World) -> None:
    first = await world.submit(procedure(op("one", do="hang", text="a"), name="first"))
    second = procedure(op("two", text="b"), name="second")
    process = world.start_engine(first.id)
    try:
        await until(lambda: "one/0" in world.attempts)
        with pytest.raises(Refused, match="holds kiln/test since") as caught:
            await world.submit(second, AT_ONCE)
        assert "interrupted" not in caught.value.message and "wait for its end" in caught.value.hint
    finally:
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.communicate)
    with pytest.raises(Refused, match=rf"run {first.id} \(first, by ann\) holds kiln/test .* was interrupted") as lost:
        await world.submit(second, AT_ONCE)
    assert f"pid {process.pid}" in lost.value.message and "nobody executes it" in lost.value.message
    assert f"opsbook runs follow {first.id}" in lost.value.hint and f"runs cancel {first.id}" in lost.value.hint
    acts.cancel(world.setting, world.view(first.id), BOB, "", undo=False)
    assert (await world.see(first.id)).state is RunState.CANCELLED
    assert (await world.see((await world.submit(second, AT_ONCE)).id)).state is RunState.DONE
    assert locks_held(world.setting.store) == {}


async def test_a_run_that_waits_for_a_person_shows_its_lock_and_the_next_step(world: World) -> None:
    view = await world.run(procedure(person("ask", "look"), op("one", "harmful", text="a"), name="first"))
    assert view.state is RunState.PERSON
    (lock,) = locks_held(world.setting.store)[view.run.id]
    assert (lock.path, view.as_json()["locks"]) == ("kiln/test", [{"path": "kiln/test", "since": lock.since}])
    assert summary(view.run, [lock])["locks"] == [{"path": "kiln/test", "since": lock.since}]
    with pytest.raises(Refused, match=r"holds kiln/test since .* and waits for a person") as caught:
        await world.submit(procedure(op("two", text="b"), name="second"), AT_ONCE)
    assert f"opsbook runs tick {view.run.id}" in caught.value.hint


async def test_of_two_that_would_not_wait_one_is_refused_before_anything_runs(world: World) -> None:
    first = await world.submit(procedure(op("one", text="a"), name="first"), AT_ONCE)
    second = procedure(op("two", text="b"), name="second")
    with pytest.raises(Refused, match=f"run {first.id} .* waits first for kiln/test"):
        await world.submit(second, AT_ONCE)
    assert [run.procedure for run in newest(world.setting.store)] == ["first"], "what was refused left nothing"
    assert (await world.see(first.id)).state is RunState.DONE
    assert (await world.see((await world.submit(second, AT_ONCE)).id)).state is RunState.DONE


async def test_waiting_for_a_person_holds_no_thread_no_connection_and_no_memory(world: World) -> None:
    lock = OwnerLock(world.setting.folder)
    assert lock.take()
    try:
        async with Owner(world.setting) as owner:
            waiting = [await world.submit(procedure(person("ask", f"look {n}"), name=f"p{n}")) for n in range(3)]
            await until(lambda: all(world.view(run.id).state is RunState.PERSON for run in waiting))
            await until(lambda: not owner.busy)
            threads = threading.active_count()
            waiting += [await world.submit(procedure(person("ask", f"look {n}"), name=f"q{n}")) for n in range(25)]
            await until(lambda: all(world.view(run.id).state is RunState.PERSON for run in waiting))
            await until(lambda: not owner.busy)
            assert owner._executions == {}, "nothing of a run that waits stays in memory"
            # Pools of the libraries may still grow to their size; that has nothing to do with how many runs wait.
            assert threading.active_count() < threads + 12
    finally:
        lock.give_back()
