"""The runbooks of the example, killed with SIGKILL at every border of a change and in its middle, and gone on with.

What must hold is what `kills` holds for the test operations; "twice" is counted at the door of each target, and for
tasks of Celery at the application, which leaves a row for each task that it ran.
"""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from opsbook.book.catalogue import Risk
from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.engine import acts
from opsbook.engine.access import local_actor
from opsbook.engine.procedure import Procedure, StepKind
from opsbook.engine.service import Service, Wish
from opsbook.engine.setting import Setting, open_setting
from opsbook.engine.states import ChangeState, RunState, StepState
from opsbook.engine.views import View, view_of
from tests.faults.kills import PLACES, Count
from tests.faults.renec_engine import SEE_SECONDS
from tests.faults.targets import effects

PARAMETERS: dict[str, dict[str, Any]] = {
    "deploy-version": {"version": "1.0.0"},
    "rollback-version": {"version": "1.0.0"},
    "retention": {"batch": 200},
    "high-api-latency": {"replicas": 4},
}
"""What a runbook is given where its defaults do not do."""
TASKS = "SELECT count(*) FROM task_runs WHERE task LIKE ANY (ARRAY['%harvest', '%reharvest_items'])"
MOST_ACTS = 10


@dataclass(frozen=True)
class RunbookKill:
    """Where the process dies in a runbook: `step/index:place`."""

    procedure: str
    place: str

    def __str__(self) -> str:
        return f"{self.procedure} at {self.place}"


@dataclass
class Rehearsed:
    """The example's book beside an instance that runs."""

    ops: Path
    database: str
    system: System
    setting: Setting

    @classmethod
    def open(cls, ops: Path, database: str) -> Rehearsed:
        system = in_environment(load_book(ops / "book.yaml", catalogue()), "rehearsal")
        return cls(ops, database, system, open_setting(system))

    @property
    def service(self) -> Service:
        return Service(self.setting, self.system)

    def tasks(self) -> int:
        """How many harvests the application was asked for so far."""
        with psycopg.connect(self.database) as connection:
            return int(connection.execute(TASKS).fetchone()[0])  # type: ignore[index]


def places(procedure: Procedure) -> Iterator[str]:
    """The fault points of a runbook: before, in and after the first change of each step that changes something."""
    for step in procedure.steps:
        if step.risk is not Risk.READ and step.kind is not StepKind.PERSON:
            for place in PLACES:
                yield f"{step.id}/0:{place}"


def all_kills(rehearsed: Rehearsed, only: str = "") -> list[RunbookKill]:
    """Every fault point of every runbook, or of one."""
    found = rehearsed.service.procedures()
    return [RunbookKill(name, place) for name, one in found.items() if only in ("", name) for place in places(one)]


def sample(rehearsed: Rehearsed, size: int, seed: int) -> list[RunbookKill]:
    """Some of them, the same for the same seed."""
    return random.Random(seed).sample(all_kills(rehearsed), size)


def sweep(rehearsed: Rehearsed, kills: list[RunbookKill], folder: Path, tell: Any = None) -> Count:
    """Do all of these kills, one after the other, on the same instance."""
    count = Count()
    for number, kill in enumerate(kills):
        _one(rehearsed, kill, folder / str(number), count)
        if tell is not None:
            tell(f"{kill}: {count}")
    return count


def _one(rehearsed: Rehearsed, kill: RunbookKill, folder: Path, count: Count) -> None:
    folder.mkdir(parents=True)
    service = rehearsed.service
    procedure = service.procedure(kill.procedure)
    tasks = rehearsed.tasks()
    plan = asyncio.run(service.plan(procedure, values=PARAMETERS.get(kill.procedure, {})))
    run = service.submit(plan, Wish()).id
    died = _until_it_stands(rehearsed, run, folder, kill.place)
    if not died:
        count.missed += 1
        _free(rehearsed, run, folder)
        return
    count.kills += 1
    finished = {row.key for row in view_of(rehearsed.setting.store, run).changes if row.state == ChangeState.DONE}
    began = Counter(effects(folder, "attempts"))
    _until_it_stands(rehearsed, run, folder, "")
    _judge(rehearsed, kill, view_of(rehearsed.setting.store, run), count)
    attempts = Counter(effects(folder, "attempts"))
    for key in finished:
        if attempts[key] > began[key]:
            count.twice += 1
            count.wrong.append(f"{kill}: {key} was finished and began again")
    calls = sum(step.body.get("operation") == "celery.call" for step in procedure.steps)
    if rehearsed.tasks() - tasks > calls:
        count.twice += 1
        count.wrong.append(f"{kill}: {rehearsed.tasks() - tasks} tasks ran, and {calls} were asked for")
    _free(rehearsed, run, folder)


def _judge(rehearsed: Rehearsed, kill: RunbookKill, view: View, count: Count) -> None:
    if view.state is RunState.DONE:
        count.resumed += 1
    elif view.state is RunState.AMBIGUOUS and view.run.message:
        count.ambiguous += 1
    elif view.state is RunState.FAILED and _only_looked(view):
        # It went on to its end and said that the system is not well: what a check is for, on a machine under load.
        count.resumed += 1
    else:
        count.stuck += 1
        count.wrong.append(f"{kill}: ended {view.run.state}: {view.run.message}")


def _only_looked(view: View) -> bool:
    kinds = {step.id: step.kind for step in view.procedure.steps}
    return all(kinds[name] is StepKind.CHECK for name, row in view.steps.items() if row.state == StepState.FAILED)


def _until_it_stands(rehearsed: Rehearsed, run: str, folder: Path, fault: str) -> bool:
    """Let engine processes work, and do the acts of persons, until the run ends; True where one died of the fault."""
    for _ in range(MOST_ACTS):
        if _engine(rehearsed, run, folder, fault) == -signal.SIGKILL:
            return True
        view = view_of(rehearsed.setting.store, run)
        if view.state is not RunState.PERSON:
            return False
        acts.tick(rehearsed.setting, view, local_actor(), None, "a test")
    return False


def _engine(rehearsed: Rehearsed, run: str, folder: Path, fault: str) -> int:
    """One engine process; its return code. A process that hangs is killed, and then the run has not ended."""
    book, mark = rehearsed.ops / "book.yaml", folder / "died"
    command = [sys.executable, "-m", "tests.faults.renec_engine", str(book), run, str(folder / "attempts"), fault]
    engine = subprocess.Popen(
        [*command, str(mark)], cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        return engine.wait(timeout=SEE_SECONDS + 30)
    except subprocess.TimeoutExpired:
        engine.kill()
        return engine.wait() and 1


def _free(rehearsed: Rehearsed, run: str, folder: Path) -> None:
    """Nothing of this run may be in the way of the next kill."""
    view = view_of(rehearsed.setting.store, run)
    if view.state is RunState.AMBIGUOUS:
        acts.resolve(rehearsed.setting, view, local_actor(), "not-done", "the sweep goes on")
    elif not view.state.ended:
        acts.cancel(rehearsed.setting, view, local_actor(), "the sweep goes on", undo=True)
    _until_it_stands(rehearsed, run, folder, "")
