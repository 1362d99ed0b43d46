"""The one generic workflow: what a run does next.

`advance` is one durable step. It takes what the step before said, writes it together with the intent of what comes next
in one transaction, does that one thing, and says what became of it. All state is in the store, so that a run can be
taken up by a new process at any point: an outcome that the durable engine has and the store has not is handed in as
`previous`; an intent that neither knows an outcome of was cut off, and is settled (`ambiguity`).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from opsbook.connectors.contract import REFUSALS, LoginRefused
from opsbook.connectors.executors.secrets import heard_by
from opsbook.engine import gate, refused, undo, waiting
from opsbook.engine.ambiguity import CutOff, Settled, settle
from opsbook.engine.apply import Application, Applied
from opsbook.engine.conclusion import cancel, conclude, fail, results_of, skip, told
from opsbook.engine.digest import step_differences, step_digest
from opsbook.engine.execution import Execution, place_of, planned_change
from opsbook.engine.fences import LOOKS, component_of
from opsbook.engine.journal import as_text
from opsbook.engine.limits import seconds_of
from opsbook.engine.output import Mask, StepOutput
from opsbook.engine.plan import reads_facts
from opsbook.engine.procedure import PlannedStep, Step, StepKind
from opsbook.engine.reads import read
from opsbook.engine.record import as_json
from opsbook.engine.results import bounded, concluded
from opsbook.engine.states import ChangeState, RunState, StepState
from opsbook.errors import OpsbookError, Unreachable
from opsbook.store import runs

Told = dict[str, Any]
"""What a durable step says: {"next": "go" | "wait" | "end"} and the outcome of what it did, as plain JSON."""

MOST_CRASHES = 10
"""A run whose process died this often in the middle of a change is not taken up again without a person."""
AWAY_SECONDS = 45.0
"""How long the next step's target may be away in the middle of a run: an API server restarts in less."""
LONGEST_BACKOFF = 30.0
"""Seconds between two attempts at most; the first pause is one second, each next one twice as long."""


class Interpreter:
    """Advances one run."""

    def __init__(self, execution: Execution) -> None:
        self.execution = execution

    async def advance(self, previous: Told | None) -> Told:
        """Do the next thing. Raises StoreFailed and LockLost; what was not written is kept for the next call."""
        if previous and previous.get("outcome"):
            self._absorb(previous["outcome"])
        while True:
            said = await self._turn()
            if said is not None:
                return said

    async def give_up(self, previous: Told | None, why: str) -> Told:
        """A fault of opsbook itself: a change that it was in is ambiguous, else the run has failed."""
        execution = self.execution
        message = f"a fault of opsbook itself: {why}"
        if previous and previous.get("outcome"):
            self._absorb(previous["outcome"])
        row = waiting.undecided(execution)
        if row is None:
            return await self._end(RunState.FAILED, message)
        execution.end_change(row, ChangeState.AMBIGUOUS, None, message)
        return await self._ambiguous(execution.step_named(row.step), execution.changes[row.key])

    def _absorb(self, outcome: Told) -> None:
        """Note what the step before did, unless the store knows it already."""
        row = self.execution.changes.get(outcome["key"])
        if row and row.attempt == outcome["attempt"] and row.state == ChangeState.INTENT:
            self.execution.end_change(row, ChangeState(outcome["state"]), outcome["result"], outcome["message"])

    async def _turn(self) -> Told | None:
        execution = self.execution
        state = execution.state
        if state.ended:
            return {"next": "end", "state": state.value}
        if state is RunState.UNDOING:
            return await self._undo()
        if state is RunState.AMBIGUOUS:
            if not waiting.resolved(execution):
                return await self._wait(state, execution.run.message)
            return None
        if execution.run.started_at is None:
            return await self._cancel() if execution.cancelled.is_set() else await self._begin()
        return await self._work()

    async def _begin(self) -> Told | None:
        execution = self.execution
        passed, state, message = await gate.prepare(execution)
        if passed == "ended":
            return await self._end(state, message)
        if passed == "waits":
            return await self._wait(state, message)
        execution.set_run(state=RunState.RUNNING.value, message="", started_at=execution.setting.now())
        execution.journal.tell("begins", detail={"fence": execution.journal.fence})
        return None

    async def _work(self) -> Told | None:
        """The next thing of a run that has begun."""
        execution = self.execution
        if execution.run.verdict:
            return await self._end(RunState(execution.run.verdict), execution.run.message)
        step = execution.next_step
        if execution.cancelled.is_set() and waiting.undecided(execution) is None:
            return await self._cancel()
        if step is None:
            return await self._end(RunState.DONE, "")
        if step.id not in execution.planned:
            try:
                return await self._reach(step)
            except OpsbookError as error:
                fail(execution, step, told(error))
                return None
        if execution.steps[step.id].state == StepState.WAITING and step.kind is not StepKind.PERSON:
            if why := gate.step_gate(execution, step, execution.planned[step.id]):
                return await self._wait(RunState.APPROVAL, why)
            execution.set_run(state=RunState.RUNNING.value, message="")
            execution.set_step(step, state=StepState.RUNNING.value, message="")
        if step.kind is StepKind.PERSON:
            open_item = waiting.open_item(execution, step)
            return await self._wait(RunState.PERSON, f"step {step.id}: {open_item}") if open_item else None
        if step.kind not in LOOKS:
            return await self._next_change(step)
        try:
            return await self._read(step)
        except REFUSALS as error:
            fail(execution, step, told(error))
            return None

    async def _reach(self, step: Step) -> Told | None:
        """A step is reached: plan it anew where the facts matter, hold it against the plan, and begin it."""
        execution = self.execution
        before = planned = next(one for one in execution.plan.steps if one.step == step.id)
        if before.deferred or before.follows or (reads_facts(step) and not execution.just_planned):
            try:
                planned = await self._planned_anew(step)
            except REFUSALS as error:
                return await self._refused(step, error)
            refused.over(execution, step)
            moved = not before.deferred and step_digest(planned) != execution.plan.step_digests[step.id]
            for difference in step_differences(before, planned) if moved else ():
                execution.journal.tell("planned anew", detail={"difference": difference})
        execution.just_planned = False
        if planned.deferred:
            # A result that it reads was never saved: the step that saves it was left out.
            fail(execution, step, f"it cannot be planned: {planned.deferred}")
            return None
        if planned.skipped:
            skip(execution, step, planned.skipped)
            return None
        execution.plan_step(step, planned)
        values = {"planned": as_text(as_json(planned)), "started_at": execution.setting.now()}
        if why := gate.step_gate(execution, step, planned):
            execution.set_step(step, state=StepState.WAITING.value, message=why, **values)
            return await self._wait(RunState.APPROVAL, f"{why}; it needs a yes ({step_digest(planned)[:12]})")
        execution.set_step(step, state=StepState.RUNNING.value, **values)
        return None

    async def _planned_anew(self, step: Step) -> PlannedStep:
        """The step as it would be now. In the middle of a run, what is away for a moment is asked once more."""
        execution, component, attempt = self.execution, component_of(step), 1
        deadline = time.monotonic() + AWAY_SECONDS
        while True:
            planner = await execution.planner()
            try:
                return await planner.step(
                    execution.procedure, step, execution.parameters, execution.saved, execution.touched
                )
            except LoginRefused:
                raise
            except Unreachable:
                left = deadline - time.monotonic()
                # A run whose steps may fail is not held up by each of them for the same one that is gone.
                if not execution.touched or execution.cancelled.is_set() or component in execution.gone or left <= 0:
                    execution.gone.add(component)
                    raise
                await self._back_off(attempt, left)
                attempt += 1

    async def _refused(self, step: Step, error: OpsbookError) -> Told:
        """It comes back as a step of its own, so that whoever ends this process is not kept waiting."""
        await self._back_off(*await refused.told(self.execution, step, error))
        await self.execution.renew()
        return {"next": "go"}

    async def _next_change(self, step: Step) -> Told | None:
        execution = self.execution
        planned = execution.planned[step.id]
        for index, change in enumerate(planned.changes):
            row = execution.row(step, index)
            state = ChangeState(row.state) if row else None
            if row is None or state is ChangeState.NOT_DONE:
                return await self._apply(step, execution.begin_change(step, index, change))
            if state is ChangeState.DONE:
                continue
            if state is ChangeState.INTENT:
                return await self._settle_crash(step, row)
            if state is ChangeState.AMBIGUOUS:
                return await self._ambiguous(step, row)
            if state is ChangeState.FAILED and row.attempt < 1 + step.retry + execution.run.crashes:
                await self._back_off(row.attempt)
                return await self._apply(step, execution.begin_change(step, index, change))
            fail(execution, step, row.message)
            return None
        conclude(execution, step, results_of(execution, step, planned))
        return None

    async def _apply(self, step: Step, row: runs.ChangeRow) -> Told:
        """Make the change whose intent was noted. The intent is in the store before the executor is called."""
        execution = self.execution
        await execution.commit()
        change = planned_change(row)
        out = StepOutput(row.run, row.step, execution.mask(), execution.setting.clock)
        try:
            executor = await execution.executor(change)
        except OpsbookError as error:
            return _outcome(row, ChangeState.FAILED, None, told(error))
        application = Application(execution.setting, executor, row.key, change, out)
        application.checkpoint = lambda cursor, progress: execution.journal.noted(row.key, cursor, progress)
        if step.sensitive:
            out.keep_nothing()
        cursor = json.loads(row.cursor) if row.cursor else None
        # A run that was cancelled is being undone: its undo must not be cut off by the same word.
        cancelled = asyncio.Event() if row.undo else execution.cancelled
        seconds = seconds_of(step, change)
        taken = Mask(())

        def hear(secrets: Iterable[str]) -> None:
            taken.hide(secrets)
            out.mask.hide(secrets)

        with heard_by(hear):
            applied = await application.run(cursor, seconds, cancelled)
        out.end()
        execution.journal.also(out.take())
        if applied.state is None:
            return await self._settle_cut(step, row, replace(applied, message=out.mask.whole(applied.message)))
        result = None if step.sensitive else bounded(taken.plain(applied.result))
        return _outcome(row, applied.state, result, out.mask.whole(applied.message))

    async def _settle(self, step: Step, row: runs.ChangeRow) -> Settled:
        execution = self.execution
        change = planned_change(row)
        cut = CutOff(row.key, step, change, row.undo, bool(row.cursor))
        facts = await execution.facts()
        settled = await settle(cut, await execution.executor(change), facts)
        execution.verified.setdefault(step.id, {}).update(facts.recorded)
        return settled

    async def _settle_cut(self, step: Step, row: runs.ChangeRow, applied: Applied) -> Told:
        """A time-out, a lost connection or a cancellation, with this process alive."""
        if applied.locked_out:
            return _outcome(row, ChangeState.AMBIGUOUS, None, applied.message)
        settled = await self._settle(step, row)
        message = "; ".join(filter(None, [applied.message, settled.message]))
        given_up = (self.execution.cancelled.is_set() and not row.undo) or row.attempt >= 2 + step.retry
        state = {
            "done": ChangeState.DONE,
            "not_done": ChangeState.FAILED,
            "unknown": ChangeState.AMBIGUOUS,
            "again": ChangeState.UNSURE if given_up else ChangeState.NOT_DONE,
        }[settled.finding]
        return _outcome(row, state, None, message)

    async def _settle_crash(self, step: Step, row: runs.ChangeRow) -> Told | None:
        """The process died in the middle of this change."""
        execution = self.execution
        crashes = execution.run.crashes + 1
        execution.set_run(crashes=crashes)
        execution.journal.tell("interrupted", detail={"change": place_of(row), "crashes": crashes})
        await execution.commit()
        settled = await self._settle(step, row)
        message = f"its process died; {settled.message}"
        state = {"done": ChangeState.DONE, "unknown": ChangeState.AMBIGUOUS}.get(settled.finding, ChangeState.NOT_DONE)
        if settled.finding == "again" and execution.cancelled.is_set() and not row.undo:
            # It is not made again, and what there is of it must be undone.
            state = ChangeState.UNSURE
        if state is ChangeState.NOT_DONE and crashes > MOST_CRASHES:
            state, message = ChangeState.AMBIGUOUS, f"{message}, but its process died {crashes} times in it"
        execution.end_change(row, state, None, message)
        return None

    async def _read(self, step: Step) -> Told | None:
        """A step that only looks. Cut off, it is simply done again; not yet as expected, as often as `retry` says.

        Raises one of REFUSALS where it was waited for another credential as long as the step may take.
        """
        execution = self.execution
        await execution.commit()
        for attempt in range(1, 2 + step.retry):
            if attempt > 1:
                await self._back_off(attempt - 1)
            if execution.cancelled.is_set():
                return None
            try:
                planner, facts = await execution.planner(), await execution.facts()
                names = await planner.names(execution.procedure, step, execution.parameters, execution.saved, facts)
                async with asyncio.timeout(step.timeout):
                    result = await read(step, names, facts)
                concluded(step, result, names)
            except REFUSALS as error:
                return await self._refused(step, error)
            except TimeoutError:
                why = f"it took longer than {step.timeout:g} s"
            except OpsbookError as error:
                why = told(error)
            else:
                refused.over(execution, step)
                conclude(execution, step, result, names)
                return None
        refused.over(execution, step)
        fail(execution, step, why)
        return None

    async def _cancel(self) -> Told | None:
        back, message = cancel(self.execution)
        if not back:
            return await self._end(RunState.CANCELLED, message)
        verdict = RunState.CANCELLED.value
        self.execution.set_run(state=RunState.UNDOING.value, verdict=verdict, message=message)
        return None

    async def _ambiguous(self, step: Step, row: runs.ChangeRow) -> Told:
        execution = self.execution
        if not row.undo:
            execution.set_step(step, state=StepState.AMBIGUOUS.value, message=row.message)
        return await self._wait(RunState.AMBIGUOUS, f"whether {place_of(row)} happened is not known: {row.message}")

    async def _undo(self) -> Told | None:
        execution = self.execution
        found = undo.next_one(execution)
        if found is None:
            return await self._end(*undo.verdict(execution))
        if found.impossible:
            undo.note_impossible(execution, found)
            return None
        step, row = found.step, found.row
        if row is None or row.state == ChangeState.NOT_DONE:
            return await self._apply(step, execution.begin_change(step, found.index, found.inverse, undo=True))
        if row.state == ChangeState.INTENT:
            return await self._settle_crash(step, row)
        return await self._ambiguous(step, row)

    async def _end(self, state: RunState, message: str) -> Told:
        """The run is over: its locks are given back in the transaction that says so."""
        execution = self.execution
        execution.set_run(state=state.value, message=message, ended_at=execution.setting.now())
        execution.journal.tell("ended", outcome=state.value, detail={"message": message} if message else None)
        execution.journal.also([gate.releasing(execution.run.id)])
        await execution.commit()
        await execution.let_go()
        return {"next": "end", "state": state.value}

    async def _wait(self, state: RunState, message: str) -> Told:
        """Nothing happens until somebody does something: no connection and no memory is held for it."""
        execution = self.execution
        again = execution.run.state == state and execution.run.message == message
        execution.set_run(state=state.value, message=message, heard=execution.run.woken)
        if not again:
            execution.journal.tell("waits", outcome=state.value, detail={"message": message})
        await execution.commit()
        await execution.let_go()
        return {"next": "wait", "state": state.value}

    async def _back_off(self, attempt: int, most: float = LONGEST_BACKOFF) -> None:
        pause = min(LONGEST_BACKOFF, most, 2.0 ** (attempt - 1))
        try:
            async with asyncio.timeout(pause):
                await self.execution.cancelled.wait()
        except TimeoutError:
            return


def _outcome(row: runs.ChangeRow, state: ChangeState, result: Any, message: str) -> Told:
    said = {"key": row.key, "attempt": row.attempt, "state": state.value, "result": result, "message": message}
    return {"next": "go", "outcome": said}
