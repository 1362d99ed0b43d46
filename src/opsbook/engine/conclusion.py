"""How a step ends: as it should, or failed for certain. Each is noted in the run; nothing is written here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from opsbook.engine.execution import FINISHED, Execution
from opsbook.engine.fences import LOOKS
from opsbook.engine.journal import as_text
from opsbook.engine.procedure import OnFailure, PlannedStep, Step
from opsbook.engine.results import concluded, stored, yielded
from opsbook.engine.states import RunState, StepState
from opsbook.errors import OpsbookError


def told(error: OpsbookError) -> str:
    """An error in one line."""
    return f"{error.message} → {error.hint}" if error.hint else error.message


def conclude(execution: Execution, step: Step, result: Any, names: Mapping[str, Any] | None = None) -> None:
    """All of a step happened: hold its result against what was expected, and save it."""
    try:
        concluded(step, result, execution.names_at_end(step) if names is None else names)
    except OpsbookError as error:
        fail(execution, step, told(error))
        return
    values: dict[str, Any] = {"state": StepState.DONE.value, "ended_at": execution.setting.now(), "message": ""}
    if step.save or step.kind in LOOKS:
        values["result"] = as_text(result)
    if step.save:
        execution.saved[step.save] = yielded(step, result)
    execution.set_step(step, **values)


def fail(execution: Execution, step: Step, message: str) -> None:
    """A step failed for certain: stop, go on, or undo what was done, as it says."""
    now = execution.setting.now()
    values: dict[str, Any] = {} if step.id in execution.steps else {"started_at": now}
    execution.set_step(step, state=StepState.FAILED.value, message=message, ended_at=now, **values)
    execution.journal.tell("step failed", detail={"step": step.id, "message": message})
    if step.on_failure is OnFailure.CONTINUE:
        return
    # Without undo there is nothing left to do; `verdict` alone makes the next turn end the run.
    state = RunState.UNDOING if step.on_failure is OnFailure.UNDO else RunState.RUNNING
    verdict = RunState.FAILED.value
    execution.set_run(state=state.value, verdict=verdict, message=f"step {step.id}: {message}")


def skip(execution: Execution, step: Step, message: str) -> None:
    """A step that is left out."""
    now = execution.setting.now()
    execution.set_step(step, state=StepState.SKIPPED.value, message=message, started_at=now, ended_at=now)


def cancel(execution: Execution) -> tuple[bool, str]:
    """The run was cancelled: note it at its step; whether it is to be undone now, and the sentence about it."""
    asked = json.loads(execution.run.cancel or "{}")
    reason = f": {asked['reason']}" if asked.get("reason") else ""
    message = f"cancelled by {asked.get('actor', 'its process')}{reason}"
    begun = [step for step in execution.procedure.steps if step.id in execution.steps]
    if begun and not finished(execution, begun[-1]):
        now = execution.setting.now()
        execution.set_step(begun[-1], state=StepState.CANCELLED.value, message=message, ended_at=now)
    return bool(asked.get("undo") or (begun and begun[-1].on_failure is OnFailure.UNDO)), message


def finished(execution: Execution, step: Step) -> bool:
    """Whether a step is not looked at again."""
    row = execution.steps.get(step.id)
    return row is not None and row.state in FINISHED


def results_of(execution: Execution, step: Step, planned: PlannedStep) -> Any:
    """What the changes of a step said."""
    rows = [execution.row(step, index) for index in range(len(planned.changes))]
    results = [json.loads(row.result) if row and row.result else None for row in rows]
    return stored(step, results)
