"""Approvals are bound to a plan: who may give one, what voids it, and what passes without."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from opsbook.book.system import System
from opsbook.engine import acts
from opsbook.engine.access import Actor
from opsbook.engine.states import RunState
from opsbook.errors import Refused, Unreachable
from opsbook.store.database import reading
from opsbook.store.runs import approvals_of
from tests.faults.world import Wish, World, op, procedure

BOB = Actor("bob", "a test")
HARMFUL = procedure(op("one", "harmful", text="a"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, policy="two-persons")


def approve(world: World, run: str, who: Actor = BOB) -> None:
    view = world.view(run)
    acts.approve(world.setting, world.system, view, who, acts.what_waits(view)[1])


async def test_it_waits_for_another_person_and_then_goes_on(world: World) -> None:
    view = await world.run(HARMFUL)
    assert view.state is RunState.APPROVAL and "another person" in view.run.message and world.attempts == []
    with pytest.raises(Refused, match="cannot approve it"):
        approve(world, view.run.id, world.actor)
    approve(world, view.run.id)
    view = await world.see(view.run.id)
    assert (view.state, world.effects) == (RunState.DONE, ["one/0 a"])


async def test_a_run_that_waits_for_approval_holds_no_lock(world: World) -> None:
    view = await world.run(HARMFUL)
    other = await world.run(procedure(op("one", text="b"), name="other"))
    assert (view.state, other.state) == (RunState.APPROVAL, RunState.DONE)


async def test_a_plan_that_moved_voids_its_approval_and_says_what_differs(world: World) -> None:
    view = await world.run(HARMFUL)
    approve(world, view.run.id)
    (world.target / "extra").write_text("more")
    view = await world.see(view.run.id)
    assert view.state is RunState.APPROVAL and world.attempts == []
    assert 'step one: changes 1.effect.extra was nothing and is now "more"' in view.run.message
    with reading(world.setting.store) as connection:
        (given,) = approvals_of(connection, view.run.id)
    assert "plan changed" in given.void
    approve(world, view.run.id)
    assert (await world.see(view.run.id)).state is RunState.DONE


async def test_a_changed_count_voids_nothing(world: World) -> None:
    view = await world.run(HARMFUL)
    await world.run(procedure(op("one", text="b"), name="other"))
    approve(world, view.run.id)
    assert (await world.see(view.run.id)).state is RunState.DONE


async def test_an_approval_of_another_plan_is_refused(world: World) -> None:
    view = await world.run(HARMFUL)
    with pytest.raises(Refused, match="not the one that was shown"):
        acts.approve(world.setting, world.system, view, BOB, "0" * 64)


async def test_a_changed_book_voids_an_approval(world: World) -> None:
    view = await world.run(HARMFUL)
    approve(world, view.run.id)
    book = world.folder / "book.yaml"
    book.write_text(book.read_text() + "title: Another one\n")
    view = await world.see(view.run.id)
    assert view.state is RunState.APPROVAL and "the book's revision" in view.run.message


async def test_broken_glass_passes_and_is_recorded(world: World) -> None:
    view = await world.run(HARMFUL, Wish(confirmed=True, break_glass="fire"))
    assert view.state is RunState.DONE and view.run.break_glass == "fire"
    waiting = await world.run(procedure(op("two", "harmful", text="b"), name="other"))
    acts.break_glass(world.setting, world.system, waiting, world.actor, "fire again")
    assert (await world.see(waiting.run.id)).state is RunState.DONE


async def test_a_step_planned_when_it_is_reached_is_gated_again(world: World) -> None:
    late = op("two", "harmful", text="n={{ x.n }}", needs=("x",))
    view = await world.run(procedure(op("one", text="a", result={"n": 7}, save="x"), late))
    approve(world, view.run.id)
    view = await world.see(view.run.id)
    assert view.state is RunState.APPROVAL and "could only be planned now" in view.run.message
    assert world.effects == ["one/0 a"]
    approve(world, view.run.id)
    view = await world.see(view.run.id)
    assert (view.state, world.effects) == (RunState.DONE, ["one/0 a", "two/0 n=7"])


async def test_the_requester_says_yes_again_to_a_plan_that_is_not_the_confirmed_one(tmp_path: Path) -> None:
    world = World(tmp_path, policy="open")
    run = await world.submit(HARMFUL)
    (world.target / "extra").write_text("more")
    view = await world.see(run.id)
    assert view.state is RunState.APPROVAL and "the plan changed" in view.run.message and world.attempts == []
    approve(world, run.id, world.actor)
    assert (await world.see(run.id)).state is RunState.DONE


async def test_without_a_look_whatever_is_planned_is_done(tmp_path: Path) -> None:
    world = World(tmp_path, policy="open")
    run = await world.submit(HARMFUL, Wish(confirmed=False))
    (world.target / "extra").write_text("more")
    assert (await world.see(run.id)).state is RunState.DONE


async def test_a_policy_can_ask_for_the_environment_s_name(tmp_path: Path) -> None:
    world = World(tmp_path, policy="typed")
    with pytest.raises(Refused, match="name typed"):
        await world.submit(HARMFUL, Wish(confirmed=False))
    assert (await world.run(HARMFUL)).state is RunState.DONE


async def test_a_plan_that_needs_a_backup_takes_its_age_as_a_fact(tmp_path: Path) -> None:
    world = World(tmp_path, policy="backed-up", more="backed-up: {disruptive: {backup_within: 1h}}")
    with pytest.raises(
        Refused, match="a disruptive plan needs a verified backup of target, and there is none"
    ) as caught:
        await world.submit(HARMFUL)
    assert "opsbook backup" in caught.value.hint
    ages = {"target": timedelta(hours=2)}
    world.setting.backup_ages = lambda system, now: ages
    with pytest.raises(Refused, match="younger than 1:00:00; the newest is 2:00:00 old"):
        await world.submit(HARMFUL)
    ages["target"] = timedelta(minutes=5)
    run = await world.submit(HARMFUL)
    ages["target"] = timedelta(minutes=61)
    view = await world.see(run.id)
    assert view.state is RunState.REFUSED and "opsbook backup" in view.run.message, "it is asked again at the start"

    def unseen(system: System, now: datetime) -> dict[str, timedelta]:
        raise Unreachable("the bucket is gone", "look at it")

    world.setting.backup_ages = unseen
    with pytest.raises(Refused, match="there is none"):
        await world.submit(HARMFUL)
    world.setting.backup_ages = lambda system, now: {"target": timedelta(minutes=5)}
    assert (await world.run(HARMFUL)).state is RunState.DONE
