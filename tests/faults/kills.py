"""Kills the engine with SIGKILL at every border of a step and in the middle of it, starts it again, and counts.

What must hold, whatever the place: the run ends done, or ambiguous and says so; it never stays stuck; no change that
was finished begins again; one that is not idempotent never happens twice. "Twice" is counted at the target, "stuck" has
a deadline.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from opsbook.engine.procedure import Procedure
from opsbook.engine.states import ChangeState, RunState
from opsbook.engine.views import View
from tests.faults import engine_process
from tests.faults.targets import effects
from tests.faults.warm import Warm
from tests.faults.world import OnFailure, World, op, procedure

STUCK_SECONDS = 60.0
PLACES = ("before", "middle", "after")


@dataclass(frozen=True)
class Kill:
    """Where the process dies: at a fault point of the test executor, or after a time."""

    scenario: str
    place: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.scenario} at {self.place or f'{self.seconds:.3f} s'}"


@dataclass
class Count:
    """What became of the kills."""

    kills: int = 0
    missed: int = 0
    """The run ended before the kill came."""
    resumed: int = 0
    ambiguous: int = 0
    stuck: int = 0
    twice: int = 0
    wrong: list[str] = field(default_factory=list)

    def __add__(self, other: Count) -> Count:
        return Count(*(mine + its for mine, its in zip(vars(self).values(), vars(other).values(), strict=True)))

    def __str__(self) -> str:
        told = {key: value for key, value in vars(self).items() if key != "wrong"}
        return ", ".join(f"{value} {key}" for key, value in told.items())


def scenarios() -> dict[str, Procedure]:
    """Procedures with every kind of step that can be cut off."""
    slow = {"seconds": 0.1}
    failing = op("last", do="fail", on_failure=OnFailure.UNDO)
    return {
        "verified": procedure(*(op(f"s{n}", text="x", **slow) for n in range(3)), name="verified"),
        "blind": procedure(*(op(f"s{n}", "blind", text="x", **slow) for n in range(3)), name="blind"),
        "repeatable": procedure(*(op(f"s{n}", "repeatable", text="x", **slow) for n in range(3)), name="repeatable"),
        "several": procedure(op("s0", text="x", changes=3, **slow), op("s1", "blind", text="x"), name="several"),
        "batches": procedure(op("s0", "repeatable", do="batches", batches=4, seconds=0.1), name="batches"),
        "undo": procedure(
            op("s0", text="x", undo="not x", **slow), op("s1", text="y", undo="not y"), failing, name="undo"
        ),
    }


def places(wanted: Procedure) -> Iterator[str]:
    """Every fault point of a procedure."""
    for step in wanted.steps:
        for index in range(step.body["parameters"].get("changes", 1)):
            for place in PLACES:
                yield f"{step.id}/{index}:{place}"
        if step.body["parameters"].get("undo"):
            for place in PLACES:
                yield f"{step.id}/0/undo:{place}"


def all_kills() -> list[Kill]:
    """Every fault point, and moments between them."""
    found = [Kill(name, place) for name, wanted in scenarios().items() for place in places(wanted)]
    moments = [0.03 * n for n in range(24)]
    return found + [Kill(name, seconds=seconds) for name in ("verified", "blind", "undo") for seconds in moments]


def sample(size: int, seed: int) -> list[Kill]:
    """Some of them, the same for the same seed."""
    return random.Random(seed).sample(all_kills(), size)


async def sweep(kills: list[Kill], tell: object = None) -> Count:
    """Do all of these kills, one after the other."""
    count = Count()
    for kill in kills:
        folder = Path(tempfile.mkdtemp(prefix="opsbook-kill-"))
        try:
            await one(kill, folder, count)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if callable(tell):
            tell(f"{kill}: {count}")
    return count


async def one(kill: Kill, folder: Path, count: Count) -> None:
    """One kill and what became of it."""
    world = World(folder)
    wanted = scenarios()[kill.scenario]
    run = await world.submit(wanted)
    if not await asyncio.to_thread(_die, world, run.id, kill):
        count.missed += 1
        world.close()
        return
    count.kills += 1
    finished = {row.key for row in world.view(run.id).changes if row.state == ChangeState.DONE}
    began = Counter(line.split()[0] for line in effects(world.target, "attempts"))
    again = _engine(world, run.id)
    if await asyncio.to_thread(again.wait, STUCK_SECONDS) is None:
        again.kill()
        count.stuck += 1
        count.wrong.append(f"{kill}: stuck at {world.view(run.id).run.state}")
        world.close()
        return
    view = world.view(run.id)
    world.close()
    _judge(kill, wanted, view, began, finished, world, count, again.output)


def _die(world: World, run: str, kill: Kill) -> bool:
    """Let an engine process work until it dies; False where the run stood before."""
    mark = str(world.folder / "died")
    env = {"OPSBOOK_TEST_FAULT": kill.place, "OPSBOOK_TEST_FAULT_MARK": mark} if kill.place else {}
    engine = _engine(world, run, **env)
    if not kill.place:
        # From the moment at which the run is taken up: how long a start takes is not what is tried here.
        deadline = time.monotonic() + STUCK_SECONDS
        while world.view(run).state is RunState.SUBMITTED and time.monotonic() < deadline:
            time.sleep(0.005)
        if engine.wait(kill.seconds) is None:
            engine.kill()
    engine.wait(STUCK_SECONDS)
    return engine.killed


def _engine(world: World, run: str, **env: str) -> Warm:
    return Warm(engine_process.main, str(world.folder), run, log=world.folder / "log", env=env)


def _judge(
    kill: Kill,
    wanted: Procedure,
    view: View,
    began: Counter[str],
    finished: set[str],
    world: World,
    count: Count,
    output: str,
) -> None:
    expected = RunState.UNDONE if kill.scenario == "undo" else RunState.DONE
    if view.state is expected:
        count.resumed += 1
    elif view.state is RunState.AMBIGUOUS and view.run.message:
        count.ambiguous += 1
    else:
        count.stuck += 1
        count.wrong.append(f"{kill}: ended {view.run.state}: {view.run.message}\n{output}")
    attempts = Counter(line.split()[0] for line in effects(world.target, "attempts"))
    for key in finished:
        if attempts[key] > began[key]:
            count.twice += 1
            count.wrong.append(f"{kill}: {key} was finished and began again")
    idempotent = {step.id for step in wanted.steps if step.idempotent}
    for key, times in Counter(line.split()[0] for line in effects(world.target)).items():
        if times > 1 and key.split("/")[1] not in idempotent:
            count.twice += 1
            count.wrong.append(f"{kill}: {key} happened {times} times")


def as_json(count: Count) -> str:
    return json.dumps(vars(count), indent=2)
