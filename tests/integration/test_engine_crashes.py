"""The engine dies, and a new process goes on: nothing done is done again, and what is not known is said."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.faults.world import World, last_json, op, procedure

SECONDS = 60


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def die_at(world: World, run: str, place: str) -> None:
    """Let an engine process work until it kills itself at the fault point."""
    engine = world.start_engine(run, OPSBOOK_TEST_FAULT=place, OPSBOOK_TEST_FAULT_MARK=str(world.folder / "died"))
    output, _ = engine.communicate(timeout=SECONDS)
    assert engine.returncode == -signal.SIGKILL, output.decode()


def go_on(world: World, run: str) -> str:
    engine = world.start_engine(run)
    output, _ = engine.communicate(timeout=SECONDS)
    return str(last_json(output)["state"])


async def test_it_goes_on_after_the_last_finished_step(world: World) -> None:
    steps = [op("one", text="a"), op("two", text="b"), op("three", text="c")]
    run = await world.submit(procedure(*steps))
    die_at(world, run.id, "two/0:before")
    assert go_on(world, run.id) == "done"
    assert world.effects == ["one/0 a", "two/0 b", "three/0 c"]
    assert world.view(run.id).run.crashes == 1


@pytest.mark.parametrize("place", ["before", "middle"])
async def test_a_change_that_can_be_verified_happens_once(world: World, place: str) -> None:
    run = await world.submit(procedure(op("one", text="a", changes=2), op("two", text="b")))
    die_at(world, run.id, f"one/1:{place}")
    assert go_on(world, run.id) == "done"
    assert world.effects == ["one/0 a", "one/1 a", "two/0 b"]


async def test_an_idempotent_change_is_made_again(world: World) -> None:
    run = await world.submit(procedure(op("one", "repeatable", text="a"), op("two", text="b")))
    die_at(world, run.id, "one/0:middle")
    assert go_on(world, run.id) == "done"
    assert world.effects == ["one/0 a", "one/0 a", "two/0 b"]


async def test_a_change_that_nobody_can_judge_is_ambiguous_and_never_made_twice(world: World) -> None:
    run = await world.submit(procedure(op("one", "blind", text="a"), op("two", text="b")))
    die_at(world, run.id, "one/0:middle")
    assert go_on(world, run.id) == "ambiguous"
    assert go_on(world, run.id) == "ambiguous"
    assert world.effects == ["one/0 a"]
    assert "one/0" in world.view(run.id).run.message


async def test_batches_go_on_where_they_were(world: World) -> None:
    run = await world.submit(procedure(op("one", "blind", do="batches", batches=6, seconds=0.5)))
    # The cursor is noted once a second: what happened after it is done again, nothing before it is.
    engine = world.start_engine(run.id)
    while len(world.effects) < 4:
        assert engine.poll() is None
    engine.kill()
    engine.wait()
    assert go_on(world, run.id) == "done"
    numbers = [int(line.rpartition(" ")[2]) for line in world.effects]
    assert set(numbers) == set(range(1, 7))
    assert numbers.count(1) == 1
