"""One run in the hands of this process: what is known of it, from the store or just learnt."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from opsbook.book.environments import RiskPolicy
from opsbook.book.system import System
from opsbook.connectors.change import Change, Executor, Json
from opsbook.connectors.contract import Connections
from opsbook.connectors.registry import registered
from opsbook.engine import locks
from opsbook.engine.fact_names import facts_of, nested
from opsbook.engine.facts import RecordedFacts, recorded_as
from opsbook.engine.fences import component_of
from opsbook.engine.journal import Journal, as_text
from opsbook.engine.output import Mask
from opsbook.engine.parameters import names_of_parameters
from opsbook.engine.plan import Planner
from opsbook.engine.policy import rule_of
from opsbook.engine.procedure import Plan, PlannedStep, Procedure, Step
from opsbook.engine.record import change_from_json, plan_from_json, planned_from_json, procedure_from_json
from opsbook.engine.results import saved
from opsbook.engine.setting import Setting, secrets_of
from opsbook.engine.states import ChangeState, RunState, StepState
from opsbook.errors import OpsbookError, UsageError
from opsbook.store import runs
from opsbook.store.database import reading

FINISHED = frozenset({StepState.DONE, StepState.SKIPPED, StepState.FAILED, StepState.UNDONE})
"""States of steps that are not looked at again."""


class Gone(OpsbookError):
    """The store no longer knows the run."""


@dataclass
class Execution:
    """The run, its compiled procedure, its plan, and how far it is."""

    setting: Setting
    run: runs.RunRow
    procedure: Procedure
    parameters: dict[str, Any]
    plan: Plan
    system: System
    journal: Journal
    steps: dict[str, runs.StepRow]
    changes: dict[str, runs.ChangeRow]
    saved: dict[str, Any] = field(default_factory=dict)
    planned: dict[str, PlannedStep] = field(default_factory=dict)
    """Plans of steps as they were when they were reached."""
    touched: dict[str, str] = field(default_factory=dict)
    """Components that steps of this run have changed, and which step first did."""
    gone: set[str] = field(default_factory=set)
    """Components that were waited for in vain before a step: the next one does not wait again."""
    refused: dict[str, float] = field(default_factory=dict)
    """Steps that could not be looked at because a credential is not taken, and since when, by the monotonic clock."""
    verified: dict[str, Json] = field(default_factory=dict)
    """Facts that were read to find out what became of the changes of a step, by its id."""
    just_planned: bool = False
    """Whether the whole plan was made a moment ago, so that its first step need not be planned again."""
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _connections: Connections | None = None
    _mask: list[str] | None = None
    _position: int = 0

    @cached_property
    def positions(self) -> dict[str, int]:
        """The place of each step in the procedure."""
        return {step.id: number for number, step in enumerate(self.procedure.steps)}

    @property
    def next_step(self) -> Step | None:
        """The first step that is not finished. None is ever looked at again, so that the search goes on from there."""
        while self._position < len(self.procedure.steps):
            row = self.steps.get(self.procedure.steps[self._position].id)
            if row is None or row.state not in FINISHED:
                return self.procedure.steps[self._position]
            self._position += 1
        return None

    def plan_step(self, step: Step, planned: PlannedStep) -> None:
        """A step is planned as it was reached; what it changes is not what it was for those that follow."""
        self.planned[step.id] = planned
        if planned.changes:
            self.touched.setdefault(component_of(step), step.id)

    @property
    def state(self) -> RunState:
        return RunState(self.run.state)

    def set_run(self, **values: Any) -> None:
        """Change the run, here and in what is written next."""
        self.run = replace(self.run, **values)
        self.journal.run = self.run
        self.journal.set_run(**values)

    def set_step(self, step: Step, **values: Any) -> None:
        """Change a step, here and in what is written next."""
        position = self.positions[step.id]
        known = self.steps.get(step.id) or runs.StepRow(self.run.id, step.id, position, "", "", "", "", None, None)
        self.steps[step.id] = replace(known, **values)
        self.journal.set_step(step.id, position, **values)

    def begin_change(self, step: Step, index: int, change: Change | Json, *, undo: bool = False) -> runs.ChangeRow:
        """Note the intent of a change, or of a further attempt at it."""
        key = key_of(self.run.id, step.id, index, undo=undo)
        before = self.changes.get(key)
        now = self.setting.now()
        values = {"attempt": (before.attempt if before else 0) + 1, "state": ChangeState.INTENT.value}
        if before is None:
            row = runs.ChangeRow(
                key,
                self.run.id,
                step.id,
                index,
                undo,
                1,
                ChangeState.INTENT.value,
                as_text(change),
                "",
                "",
                "",
                now,
                None,
            )
            self.journal.add_change(vars(row).copy())
        else:
            row = replace(before, **values, message="", ended_at=None)  # type: ignore[arg-type]
            self.journal.set_change(key, **values, message="", ended_at=None)
        self.changes[key] = row
        self.journal.tell("undo begins" if undo else "change begins", step=place_of(row), attempt=row.attempt)
        return row

    def end_change(self, row: runs.ChangeRow, state: ChangeState, result: Json = None, message: str = "") -> None:
        """Note what became of a change."""
        values = {"state": state.value, "result": as_text(result), "message": message, "ended_at": self.setting.now()}
        self.changes[row.key] = replace(row, **values)  # type: ignore[arg-type]
        self.journal.set_change(row.key, **values)
        event = "undo ended" if row.undo else "change ended"
        detail = {"message": message} if message else None
        self.journal.tell(event, step=place_of(row), attempt=row.attempt, outcome=state.value, detail=detail)

    def row(self, step: Step, index: int) -> runs.ChangeRow | None:
        """A change of a step, where it was begun."""
        return self.changes.get(key_of(self.run.id, step.id, index))

    def step_named(self, name: str) -> Step:
        return self.procedure.steps[self.positions[name]]

    def rule(self, step: Step | None = None) -> RiskPolicy:
        """What policy asks for the run, or for one of its steps."""
        risk = step.risk if step else self.procedure.risk
        return rule_of(self.system.policy, risk, self.procedure.name)

    async def connections(self) -> Connections:
        """The run's own connections, opened at their first use."""
        if self._connections is None:
            self._connections = await self.stack.enter_async_context(self.setting.connections(self.system))
        return self._connections

    def names_at_end(self, step: Step) -> dict[str, Any]:
        """What `expect` reads beside the step's result. Facts are those that its plan was made of; where its changes
        had to be verified, those that were read then.
        """
        planned = self.planned.get(step.id)
        seen = {**((planned.facts if planned else None) or {}), **self.verified.get(step.id, {})}
        facts = {
            one: seen.get(recorded_as(one.observation, one.component))
            for one in facts_of(step, self.system, self.system.book.catalogue)
        }
        return {
            **names_of_parameters(self.procedure, self.parameters),
            **self.saved,
            "saved": self.saved,
            "facts": nested({one: value for one, value in facts.items() if value is not None}),
        }

    async def facts(self) -> RecordedFacts:
        return RecordedFacts(self.system, self.setting.clock, await self._looking_anew())

    async def planner(self) -> Planner:
        return Planner(self.system, self.setting.clock, await self._looking_anew())

    async def _looking_anew(self) -> Connections:
        """The connections without what they remember for the length of a sweep: the step before may have changed it."""
        connections = await self.connections()
        connections.forget()
        return connections

    async def executor(self, change: Change) -> Executor:
        """What applies changes of this kind. Raises UsageError where nothing does."""
        make = registered().executors.get(change.kind)
        if make is None:
            raise UsageError(
                f"nothing can apply a change of the kind {change.kind!r}", "is an extra of opsbook missing?"
            )
        return make(await self.connections())

    def mask(self) -> Mask:
        """Hides the secrets that the run can come to see."""
        if self._mask is None:
            secret = [one.name for one in self.procedure.parameters if one.type == "secret"]
            given = [str(self.parameters[name]) for name in secret if self.parameters.get(name)]
            self._mask = secrets_of(self.system, given)
        return Mask(self._mask)

    async def commit(self) -> None:
        await self.journal.commit()

    async def renew(self) -> None:
        """Ask with what stands now where credentials are kept: somebody may have put a new one there."""
        await self.let_go()
        self.system.forget_variables()
        known, self._mask = self._mask, None
        self.mask()
        # What was taken before is a secret still.
        self._mask = [*(known or []), *(self._mask or [])]

    async def let_go(self) -> None:
        """Close the connections: the run has ended, or waits for somebody."""
        self._connections = None
        await self.stack.aclose()


def key_of(run: str, step: str, index: int, *, undo: bool = False) -> str:
    """What marks everything that a change starts."""
    return f"{run}/{step}/{index}" + ("/undo" if undo else "")


def place_of(row: runs.ChangeRow) -> str:
    """A change's key within its run, as the audit chain names it."""
    return row.key.removeprefix(f"{row.run}/")


def planned_change(row: runs.ChangeRow) -> Change:
    """The change as it was planned."""
    return change_from_json(json.loads(row.change))


async def load(setting: Setting, run_id: str, executor: str) -> Execution:
    """Take a run from the store. Raises Gone, or InvalidBook where its book cannot be used now."""
    with reading(setting.store) as connection:
        run = runs.run_of(connection, run_id)
        if run is None:
            raise Gone(f"the store knows no run {run_id}", "`opsbook runs` lists those it knows")
        steps = {row.step: row for row in runs.steps_of(connection, run_id)}
        changes = {row.key: row for row in runs.changes_of(connection, run_id)}
        fence = locks.token(connection, run_id)
    procedure = procedure_from_json(json.loads(run.compiled))
    system = setting.system(run.book, run.environment)
    journal = Journal(setting, run, executor)
    journal.knows(steps)
    journal.fence = fence
    plan = plan_from_json({**json.loads(run.plan), "procedure": json.loads(run.compiled)})
    found = Execution(setting, run, procedure, json.loads(run.parameters), plan, system, journal, steps, changes)
    for step in procedure.steps:
        row = steps.get(step.id)
        if row and row.planned:
            found.plan_step(step, planned_from_json(json.loads(row.planned)))
    found.saved = saved(procedure, steps)
    return found
