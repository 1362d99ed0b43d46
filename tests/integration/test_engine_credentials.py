"""A credential that is not taken when the next step is looked at: the run waits, says so, and goes on with another."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from opsbook.book.catalogue import Risk
from opsbook.engine import acts
from opsbook.engine.procedure import OnFailure, Procedure, Step, StepKind
from opsbook.engine.states import RunState
from tests.faults.world import World, op, procedure, until

WAITS = "waits for a credential that is taken"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    one = World(tmp_path)
    yield one
    one.close()


def two_steps(timeout: float = 120.0) -> Procedure:
    """The first one takes away the login that the second one needs."""
    lock = op("one", do="lock-out", text="a", undo="not a")
    return procedure(lock, replace(op("two", text="b", timeout=timeout), on_failure=OnFailure.UNDO))


def waits(world: World, run: str) -> bool:
    view = world.view(run)
    return WAITS in view.run.message and "two" in view.steps and WAITS in view.steps["two"].message


async def test_a_login_that_is_refused_between_two_steps_is_waited_for(world: World) -> None:
    run = await world.submit(two_steps())
    seeing = asyncio.create_task(world.see(run.id))
    await until(lambda: waits(world, run.id))
    assert world.view(run.id).state is RunState.RUNNING and world.effects == ["one/0 a"]
    (world.target / "no-login").unlink()
    view = await seeing
    assert (view.state, view.run.message, view.steps["two"].message) == (RunState.DONE, "", "")
    assert world.effects == ["one/0 a", "two/0 b"]


async def test_it_is_waited_for_as_long_as_its_step_may_take_and_a_cancelled_run_no_longer(world: World) -> None:
    view = await world.run(two_steps(timeout=1.5))
    assert view.state is RunState.UNDONE and "the login is not taken → log in anew" in view.run.message
    assert world.effects == ["one/0 a", "one/0/undo not a"]
    (world.target / "no-login").unlink()
    run = await world.submit(two_steps())
    seeing = asyncio.create_task(world.see(run.id))
    await until(lambda: waits(world, run.id))
    acts.cancel(world.setting, world.view(run.id), world.actor, "enough", undo=True)
    view = await seeing
    assert view.state is RunState.CANCELLED and view.steps["two"].state == "cancelled"
    assert world.effects[2:] == ["one/0 a", "one/0/undo not a"]


async def test_a_step_that_only_checks_waits_too_and_fails_when_its_time_is_over(tmp_path: Path) -> None:
    world = World(
        tmp_path, more="\nchecks:\n  - {id: target-open, of: target, observe: target.open, critical: is down}"
    )
    lock = op("one", do="lock-out", text="a", undo="not a")
    look = Step("two", StepKind.CHECK, "Look", 1, {"checks": ["target-open"]}, Risk.READ, True, timeout=120.0)
    run = await world.submit(procedure(lock, replace(look, on_failure=OnFailure.UNDO)))
    seeing = asyncio.create_task(world.see(run.id))
    await until(lambda: waits(world, run.id))
    assert world.view(run.id).state is RunState.RUNNING
    (world.target / "no-login").unlink()
    view = await seeing
    assert (view.state, view.run.message, view.steps["two"].message) == (RunState.DONE, "", "")
    assert world.effects == ["one/0 a"]
    view = await world.run(procedure(lock, replace(look, on_failure=OnFailure.UNDO, timeout=1.5), name="again"))
    assert view.state is RunState.UNDONE and "target-open is critical" in view.run.message
    assert WAITS not in view.run.message and world.effects[1:] == ["one/0 a", "one/0/undo not a"]
    world.close()


async def test_a_process_that_is_killed_while_it_waits_is_followed_by_one_that_waits_and_goes_on(world: World) -> None:
    run = await world.submit(two_steps())
    process = world.start_engine(run.id)
    await until(lambda: waits(world, run.id), 60)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process = world.start_engine(run.id)
    (world.target / "no-login").unlink()
    said, _ = await asyncio.to_thread(process.communicate, timeout=100)
    assert json.loads(said.splitlines()[-1]) == {"state": "done", "message": ""}
    assert world.effects == ["one/0 a", "two/0 b"] and world.view(run.id).steps["two"].message == ""
