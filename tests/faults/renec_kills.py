"""The runbooks of the example, killed with SIGKILL at every border of a change and in its middle, and gone on with.

What must hold is what `kills` holds for the test operations; "twice" is counted at the door of each target, and for
tasks of Celery at the application, which leaves a row for each task that it ran. A run dies once at each of its steps,
each time at another place of it: after as many runs as there are places, every place of every step was one.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.engine import acts
from opsbook.engine.access import local_actor
from opsbook.engine.procedure import StepKind
from opsbook.engine.service import Service, Wish
from opsbook.engine.setting import Setting, open_setting
from opsbook.engine.states import ChangeState, RunState, StepState
from opsbook.engine.views import View, view_of
from tests.faults.deadly import SEE_SECONDS, Fault, engine
from tests.faults.kills import Count
from tests.faults.targets import effects
from tests.faults.warm import Warm

PARAMETERS: dict[str, dict[str, Any]] = {
    "deploy-version": {"version": "1.0.0"},
    "rollback-version": {"version": "1.0.0"},
    "retention": {"batch": 200},
    "high-api-latency": {"replicas": 4},
}
"""What a runbook is given where its defaults do not do."""
TASKS = "SELECT count(*) FROM task_runs WHERE task LIKE ANY (ARRAY['%harvest', '%reharvest_items'])"
PLACES = ("before", "middle", "after", "noted")
"""Of a change. That nothing of the next intent is written is the same as `noted`: the store and the engine hold the
same then."""
MOST_DEATHS = 8
"""In one run: the engine itself gives a run up to a person after more than ten."""
MOST_ACTS = 10


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


@dataclass
class Trial:
    """One run of a runbook, the faults that it meets, and what became of each."""

    rehearsed: Rehearsed
    procedure: str
    faults: Sequence[Fault]
    folder: Path
    count: Count
    run: str = ""
    deaths: int = 0
    asked: int = 0
    """How often a person was asked what had happened."""
    finished: dict[str, int] = field(default_factory=dict)
    """Change → its attempts when it was first seen to be done."""

    def __str__(self) -> str:
        return f"{self.procedure} ({self.run}) at {', '.join(map(str, self.faults)) or 'no place'}"

    def see_through(self) -> View | None:
        """From the plan to the end, whatever kills it on the way; None where it is stuck."""
        self.folder.mkdir(parents=True)
        service, procedure = self.rehearsed.service, self.rehearsed.service.procedure(self.procedure)
        tasks = self.rehearsed.tasks()
        plan = asyncio.run(service.plan(procedure, values=PARAMETERS.get(self.procedure, {})))
        self.run = service.submit(plan, Wish()).id
        view = self._to_the_end()
        self.count.kills += self.deaths
        self.count.missed += len(self.faults) - self.deaths
        self.count.ambiguous += self.asked
        if view is None:
            self._free()
            return None
        self._judge(view)
        calls = sum(step.body.get("operation") == "celery.call" for step in procedure.steps)
        if self.rehearsed.tasks() - tasks > calls:
            self.count.twice += 1
            self._wrong(f"{self.rehearsed.tasks() - tasks} tasks ran, and {calls} were asked for")
        return view

    def _wrong(self, text: str) -> None:
        self.count.wrong.append(f"{self}: {text}")

    def _to_the_end(self) -> View | None:
        """One engine process after the other, with the acts and decisions of a person between them."""
        for _ in range(2 * len(self.faults) + MOST_ACTS):
            process = self._engine(self.faults)
            view = view_of(self.rehearsed.setting.store, self.run)
            if process is None:
                self.count.stuck += 1
                self._wrong(f"stuck at {view.run.state}: {view.run.message}")
                return None
            attempts = Counter(effects(self.folder, "attempts"))
            for row in view.changes:
                if row.state == ChangeState.DONE:
                    self.finished.setdefault(row.key, attempts[row.key])
            if process.killed:
                self.deaths += 1
            elif view.state is RunState.PERSON:
                acts.tick(self.rehearsed.setting, view, local_actor(), None, "a test")
            elif view.state is RunState.AMBIGUOUS and view.run.message:
                decided = "done" if self.asked else "not-done"
                self.asked += 1
                acts.resolve(self.rehearsed.setting, view, local_actor(), decided, "the sweep goes on")
            else:
                return view
        self.count.stuck += 1
        self._wrong(f"does not come to an end: {view.run.state}: {view.run.message}")
        return None

    def _engine(self, faults: Sequence[Fault]) -> Warm | None:
        """One engine process that has ended; None where it hung and was killed for that."""
        book = self.rehearsed.ops / "book.yaml"
        process = Warm(engine, book, "rehearsal", self.run, faults, self.folder, log=self.folder / "log")
        if process.wait(SEE_SECONDS + 30) is None:
            process.kill()
            return None
        return process

    def _judge(self, view: View) -> None:
        looked = view.state in (RunState.FAILED, RunState.UNDONE) and _only_looked(view)
        if view.state is RunState.DONE or looked:
            # Where it only looked, it went on to its end and said that the system is not well: what a check is for,
            # on a machine under load.
            self.count.resumed += self.deaths - self.asked
        else:
            self.count.stuck += 1
            log = self.folder / "log"
            said = log.read_text()[-2000:] if log.exists() else "no engine process came up"
            self._wrong(f"ended {view.run.state}: {view.run.message}\n{said}")
            self._free()
        attempts = Counter(effects(self.folder, "attempts"))
        for key, times in self.finished.items():
            if attempts[key] > times:
                self.count.twice += 1
                self._wrong(f"{key} was finished and began again")

    def _free(self) -> None:
        """Nothing of this run may be in the way of the next one."""
        view = view_of(self.rehearsed.setting.store, self.run)
        if not view.state.ended:
            acts.cancel(self.rehearsed.setting, view, local_actor(), "the sweep goes on", undo=True)
            self._engine(())

    def durations(self) -> dict[str, float]:
        """Change (or step that looks) → the seconds that it took."""
        return {key: float(seconds) for key, seconds in map(str.split, effects(self.folder, "durations"))}


def _only_looked(view: View) -> bool:
    kinds = {step.id: step.kind for step in view.procedure.steps}
    return all(kinds[name] is StepKind.CHECK for name, row in view.steps.items() if row.state == StepState.FAILED)


def rounds(durations: Mapping[str, float]) -> Iterator[list[Fault]]:
    """The faults of each run: together every place of every change, and the middle of every step that looks."""
    changes = [key for key in durations if "/" in key and not key.endswith("/undo")]
    looks = [key for key in durations if "/" not in key]
    for number in range(len(PLACES)):
        faults = [
            Fault(key, PLACES[(position + number) % len(PLACES)], durations[key] / 2)
            for position, key in enumerate(changes)
        ]
        faults += [
            Fault(key, "middle", durations[key] / 2)
            for position, key in enumerate(looks)
            if position % len(PLACES) == number
        ]
        for start in range(0, len(faults), MOST_DEATHS):
            yield faults[start : start + MOST_DEATHS]


def sweep(
    rehearsed: Rehearsed,
    names: Iterator[str],
    folder: Path,
    chosen: Callable[[list[list[Fault]]], list[list[Fault]]] = lambda runs: runs,
    tell: Callable[[str], None] = lambda text: None,
) -> Count:
    """These runbooks, one after the other, on one instance: each first without a kill, then all or some of its runs."""
    count = Count()
    for name in names:
        undisturbed = Trial(rehearsed, name, (), folder / name / "undisturbed", count)
        if undisturbed.see_through() is None:
            continue
        for number, faults in enumerate(chosen(list(rounds(undisturbed.durations())))):
            trial = Trial(rehearsed, name, faults, folder / name / str(number), count)
            before = len(count.wrong)
            trial.see_through()
            tell("\n".join([f"{trial}: {count}", *count.wrong[before:]]))
    return count


def some_faults(dice: random.Random, size: int) -> Callable[[list[list[Fault]]], list[list[Fault]]]:
    """Chooses one run with so many of all faults."""

    def choose(runs: list[list[Fault]]) -> list[list[Fault]]:
        every = [fault for run in runs for fault in run]
        # At one place only one: after the first death a later one at the same change would often come too late.
        first: dict[str, Fault] = {}
        for fault in dice.sample(every, len(every)):
            first.setdefault(fault.key, fault)
        return [list(first.values())[:size]]

    return choose
