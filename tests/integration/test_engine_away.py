"""What a step is about is away when the step is reached: for a moment it is waited for, and not by each step anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opsbook.engine import interpreter
from opsbook.engine.plan import Planner
from opsbook.engine.procedure import OnFailure, PlannedStep, Step
from opsbook.engine.states import RunState
from opsbook.errors import Unreachable
from tests.faults.world import World, op, procedure

THREE = procedure(op("one", text="a"), *(
    replace(op(name, text=name), on_failure=OnFailure.CONTINUE) for name in ("two", "three")
))  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    one = World(tmp_path)
    yield one
    one.close()


@pytest.fixture
def away(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[str]]:
    """Once the first step has happened nothing can be planned, this often; the steps that tried."""

    def from_now(times: int) -> list[str]:
        tried, plan = list[str](), Planner.step

        async def step(self: Planner, whole: Any, one: Step, parameters: Any, saved: Any, touched: Any) -> PlannedStep:
            if world.effects and len(tried) < times:
                tried.append(one.id)
                raise Unreachable("the target is away", "wait")
            return await plan(self, whole, one, parameters, saved, touched)

        monkeypatch.setattr(Planner, "step", step)
        return tried

    monkeypatch.setattr(interpreter, "AWAY_SECONDS", 1.5)
    return from_now


async def test_what_is_away_for_a_moment_in_the_middle_of_a_run_is_waited_for(
    world: World, away: Callable[[int], list[str]]
) -> None:
    run = await world.submit(THREE)
    tried = away(1)
    view = await world.see(run.id)
    assert (view.state, tried) == (RunState.DONE, ["two"])
    assert world.effects == ["one/0 a", "two/0 two", "three/0 three"]


async def test_what_stays_away_is_waited_for_once_and_not_before_each_step(
    world: World, away: Callable[[int], list[str]]
) -> None:
    run = await world.submit(THREE)
    tried = away(1000)
    view = await world.see(run.id)
    assert view.state.ended and world.effects == ["one/0 a"]
    assert tried.count("two") > 1 and tried.count("three") == 1, tried
    assert [view.steps[name].state for name in ("two", "three")] == ["failed", "failed"]
