"""Runs in one process: what is done in which order, what a failure does, what waits for whom."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from opsbook.engine import acts
from opsbook.engine.access import Actor
from opsbook.engine.output import HEAD, TAIL
from opsbook.engine.states import RunState
from opsbook.errors import Refused, UsageError
from opsbook.store.audit_head import verify_store
from opsbook.store.runs import output_of
from tests.faults.world import OnFailure, Parameter, Wish, World, op, person, procedure, until

BOB = Actor("bob", "a test")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_steps_run_in_order_and_leave_a_verifiable_record(world: World) -> None:
    view = await world.run(procedure(op("one", text="a"), op("two", text="b", changes=2)))
    assert view.state is RunState.DONE
    assert world.effects == ["one/0 a", "two/0 b", "two/1 b"]
    assert verify_store(world.setting.store, world.setting.head).broken is None


async def test_a_result_is_saved_and_read_by_a_later_step(world: World) -> None:
    later = op("two", text="got {{ first.rows }}", needs=("first",), when="first.rows > 2")
    view = await world.run(procedure(op("one", text="a", result={"rows": 3}, save="first"), later))
    assert (view.state, world.effects) == (RunState.DONE, ["one/0 a", "two/0 got 3"])


async def test_a_step_is_left_out_when_its_condition_does_not_hold(world: World) -> None:
    params = [Parameter("loud", "bool", default=False)]
    view = await world.run(procedure(op("one", text="a", when="loud"), op("two", text="b"), params=params), loud=False)
    assert (view.steps["one"].state, world.effects) == ("skipped", ["two/0 b"])


async def test_a_step_that_is_left_out_needs_no_result_of_another_that_was(world: World) -> None:
    params = [Parameter("loud", "bool", default=False)]
    later = op("two", text="got {{ first.rows }}", needs=("first",), when="loud")
    steps = (op("one", text="a", result={"rows": 3}, save="first", when="loud"), later, op("three", text="c"))
    view = await world.run(procedure(*steps, params=params), loud=False)
    assert (view.state, view.steps["two"].state, world.effects) == (RunState.DONE, "skipped", ["three/0 c"])


async def test_an_expectation_that_does_not_hold_fails_the_run(world: World) -> None:
    view = await world.run(procedure(op("one", result={"rows": 3}, expect="rows == 0"), op("two", text="b")))
    assert (view.state, world.effects) == (RunState.FAILED, ["one/0 "])
    assert "rows == 0" in view.run.message and "rows = 3" in view.run.message


async def test_a_failure_stops_the_run(world: World) -> None:
    view = await world.run(procedure(op("one", do="fail"), op("two", text="b")))
    assert (view.state, world.effects, world.attempts) == (RunState.FAILED, [], ["one/0"])


async def test_a_failed_step_can_be_passed_over(world: World) -> None:
    view = await world.run(procedure(op("one", do="fail", on_failure=OnFailure.CONTINUE), op("two", text="b")))
    assert (view.state, world.effects) == (RunState.DONE, ["two/0 b"])
    assert view.steps["one"].state == "failed"


async def test_a_failed_step_is_tried_again_as_often_as_it_says(world: World) -> None:
    view = await world.run(procedure(op("one", do="fail-twice", text="a", retry=2)))
    assert (view.state, world.attempts, world.effects) == (RunState.DONE, ["one/0"] * 3, ["one/0 a"])
    view = await world.run(procedure(op("two", do="fail", retry=1)))
    assert view.state is RunState.FAILED and world.attempts.count("two/0") == 2


async def test_what_was_done_is_undone_in_reverse(world: World) -> None:
    failing = op("three", do="fail", on_failure=OnFailure.UNDO)
    view = await world.run(procedure(op("one", text="a", undo="not a"), op("two", text="b", undo="not b"), failing))
    assert view.state is RunState.UNDONE
    assert world.effects == ["one/0 a", "two/0 b", "two/0/undo not b", "one/0/undo not a"]


async def test_what_cannot_be_undone_is_said(world: World) -> None:
    failing = op("three", do="fail", on_failure=OnFailure.UNDO)
    view = await world.run(procedure(op("one", text="a", undo="not a"), op("two", text="b"), failing))
    assert view.state is RunState.FAILED and "two: there is no way back" in view.run.message
    assert world.effects == ["one/0 a", "two/0 b", "one/0/undo not a"]


async def test_a_change_whose_guard_no_longer_holds_is_refused(world: World) -> None:
    view = await world.run(
        procedure(
            op("one", text="a", guarded=True), op("two", text="b", guarded=True), op("three", text="c", guarded=True)
        )
    )
    # Each is planned anew when it is reached, so that its guard is about the state that the step before left.
    assert view.state is RunState.DONE and len(world.effects) == 3
    # Both changes of one step are planned together: the second one's guard is spoilt by the first.
    view = await world.run(procedure(op("four", text="d", guarded=True, changes=2)))
    assert view.state is RunState.FAILED and "not what it was" in view.run.message


async def test_a_step_that_takes_too_long_is_judged_by_its_facts(world: World) -> None:
    view = await world.run(procedure(op("one", do="hang", timeout=0.3)))
    assert view.state is RunState.FAILED and "it has not happened" in view.run.message
    view = await world.run(procedure(op("one", "blind", do="hang", timeout=0.3), name="blind"))
    assert view.state is RunState.AMBIGUOUS


async def test_a_lost_connection_is_not_a_failure(world: World) -> None:
    view = await world.run(procedure(op("one", do="lose", text="a"), op("two", text="b")))
    assert (view.state, world.effects) == (RunState.DONE, ["one/0 a", "two/0 b"])


async def test_what_cannot_be_ended_is_ambiguous_even_where_it_is_idempotent(world: World) -> None:
    view = await world.run(procedure(op("one", "repeatable", do="hang", endless=True, timeout=0.3)))
    assert view.state is RunState.AMBIGUOUS and "still runs" in view.run.message


@pytest.mark.parametrize(("decided", "again"), [("done", 1), ("not-done", 2)])
async def test_a_person_decides_what_is_ambiguous(world: World, decided: str, again: int) -> None:
    view = await world.run(procedure(op("one", "blind", do="lose", text="a"), op("two", text="b")))
    assert view.state is RunState.AMBIGUOUS and world.attempts == ["one/0"]
    with pytest.raises(Refused, match="ambiguous"):
        acts.cancel(world.setting, view, world.actor, "", undo=False)
    acts.resolve(world.setting, view, world.actor, decided, "looked")  # type: ignore[arg-type]
    view = await world.see(view.run.id)
    assert world.attempts.count("one/0") == again
    assert view.state is (RunState.DONE if decided == "done" else RunState.AMBIGUOUS)


async def test_a_credential_that_is_not_taken_any_more_is_waited_for(world: World) -> None:
    """Its undo would be refused alike, so it is not begun."""
    steps = (op("one", text="a", undo="not a"), op("two", do="locked-out", text="b", on_failure=OnFailure.UNDO))
    view = await world.run(procedure(*steps))
    assert view.state is RunState.AMBIGUOUS and "the credential is not taken (any more) → log in" in view.run.message
    assert world.effects == ["one/0 a"]
    (world.target / "credential").touch()
    acts.resolve(world.setting, view, world.actor, "not-done", "logged in")
    view = await world.see(view.run.id)
    assert (view.state, world.effects) == (RunState.DONE, ["one/0 a", "two/0 b"])


async def test_a_person_does_one_act_after_the_other(world: World) -> None:
    asked = replace(person("ask", "look at {{ seen.results | length }}", "listen"), needs=("seen",))
    view = await world.run(procedure(op("one", text="a", save="seen"), asked, op("two", text="b")))
    assert view.state is RunState.PERSON and "look" in view.run.message and world.effects == ["one/0 a"]
    assert acts.tick(world.setting, view, BOB, None, "") == "look at 1", "as it was asked, with what was found"
    view = await world.see(view.run.id)
    assert view.state is RunState.PERSON and "listen" in view.run.message
    acts.tick(world.setting, view, BOB, 1, "heard")
    view = await world.see(view.run.id)
    assert view.state is RunState.DONE and world.effects == ["one/0 a", "two/0 b"]
    with pytest.raises(UsageError, match="waits for no person"):
        acts.tick(world.setting, view, BOB, None, "")


@pytest.mark.parametrize("when", ["seen is defined and seen.results | length > 0", "'seen' in saved"])
async def test_a_condition_that_asks_for_a_result_is_judged_when_its_step_is_reached(world: World, when: str) -> None:
    asking = op("two", text="b", when=when, needs=("seen",))
    view = await world.run(procedure(op("one", text="a", save="seen"), asking))
    assert (view.state, world.effects) == (RunState.DONE, ["one/0 a", "two/0 b"])


async def test_a_run_that_waits_keeps_its_locks_and_another_queues_behind_it(world: World) -> None:
    held = await world.run(procedure(person("ask", "look"), op("one", "harmful", text="a"), name="first"))
    second = procedure(op("two", text="b"), name="second")
    with pytest.raises(Refused, match="holds kiln/test"):
        await world.submit(second, Wish(confirmed=True, no_wait=True))
    queued = await world.submit(second)
    seeing = asyncio.create_task(world.see(queued.id, wait=True))
    await until(lambda: world.view(queued.id).state is RunState.QUEUED)
    acts.cancel(world.setting, held, BOB, "enough", undo=False)
    assert (await seeing).state is RunState.DONE
    assert world.view(held.run.id).state is RunState.CANCELLED


async def test_cancelling_ends_the_change_and_undoes_what_was_done(world: World) -> None:
    run = await world.submit(procedure(op("one", text="a", undo="not a"), op("two", do="hang"), op("three", text="c")))
    seeing = asyncio.create_task(world.see(run.id))
    await until(lambda: "two/0" in world.attempts)
    acts.cancel(world.setting, world.view(run.id), BOB, "no", undo=True)
    view = await seeing
    assert view.state is RunState.CANCELLED and "cancelled by bob: no" in view.run.message
    assert world.effects == ["one/0 a", "one/0/undo not a"]


async def test_a_flood_of_output_is_bounded_and_counted(world: World) -> None:
    view = await world.run(procedure(op("one", prints=400, says="the end")))
    rows = sorted(output_of(world.setting.store, view.run.id), key=lambda row: row.start)
    kept = sum(len(row.text) for row in rows)
    assert HEAD + TAIL <= kept < HEAD + TAIL + 70_000
    assert rows[0].start == 0 and rows[-1].text.endswith("the end")
    assert rows[-1].start + len(rows[-1].text) == 400 * 65536 + 7


async def test_the_same_run_is_gone_on_with_instead_of_a_second_one(world: World) -> None:
    wanted = procedure(person("ask", "look"), op("one", text="a"))
    view = await world.run(wanted)
    service = world.service()
    same = service.pending(await world.plan(wanted))
    assert same is not None and same.id == view.run.id
    assert service.pending(await world.plan(procedure(op("one", text="a"), name="other"))) is None


async def test_a_failed_run_is_run_again_from_the_step_that_failed(world: World) -> None:
    wanted = procedure(op("one", text="a", result={"n": 7}, save="x"), op("two", do="fail"), op("three", text="c"))
    failed = await world.run(wanted)
    (world.target / "extra").write_text("mended")
    row = await world.service().rerun(failed, "", Wish(confirmed=True))
    view = await world.see(row.id)
    assert view.state is RunState.FAILED and view.run.from_step == "two"
    assert world.attempts == ["one/0", "two/0", "two/0"]
    assert view.steps["one"].state == "skipped"
    with pytest.raises(UsageError, match="was not done"):
        await world.service().rerun(failed, "three", Wish())


async def test_what_an_operation_refuses_to_plan_is_not_begun(world: World) -> None:
    run = await world.submit(procedure(op("one", text="a")))
    (world.target / "refuse").write_text("not today")
    view = await world.see(run.id)
    assert view.state is RunState.REFUSED and "not today" in view.run.message
