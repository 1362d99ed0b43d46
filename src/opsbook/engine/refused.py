"""A step that cannot be looked at with the credential that there is: the run says so, and waits for another."""

from __future__ import annotations

import time

from opsbook.engine.conclusion import told as in_one_line
from opsbook.engine.execution import Execution
from opsbook.engine.procedure import Step
from opsbook.engine.states import StepState
from opsbook.errors import OpsbookError

LONGEST_PAUSE = 5.0
"""Seconds between two looks whether a new credential is there."""


async def told(execution: Execution, step: Step, error: OpsbookError) -> tuple[int, float]:
    """Notes that it waits, once. The number of the look, and the seconds until the next one at most.

    It is tried anew within the step's time, each time with what then stands where credentials are kept. Raises the
    error when that time is over.
    """
    now = time.monotonic()
    left = execution.refused.setdefault(step.id, now) + step.timeout - now
    if left <= 0:
        execution.set_run(message="")
        raise error
    message = f"it waits for a credential that is taken, and goes on by itself: {in_one_line(error)}"
    if execution.run.message != f"step {step.id}: {message}":
        execution.set_step(step, state=StepState.RUNNING.value, message=message, started_at=execution.setting.now())
        execution.set_run(message=f"step {step.id}: {message}")
        execution.journal.tell("waits", outcome="credential", detail={"step": step.id, "message": message})
        await execution.commit()
    return 1 + int(now - execution.refused[step.id]), min(left, LONGEST_PAUSE)


def over(execution: Execution, step: Step) -> None:
    """What was told of a credential that was not taken holds no more, also what a process told that died."""
    execution.refused.pop(step.id, None)
    if (row := execution.steps.get(step.id)) and row.message:
        execution.set_step(step, message="")
        execution.set_run(message="")
