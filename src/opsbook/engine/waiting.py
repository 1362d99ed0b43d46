"""What a run waits for: acts of a person, and a person's word on a change whose outcome is not known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opsbook.engine.conclusion import conclude
from opsbook.engine.execution import Execution
from opsbook.engine.expressions import ExpressionError
from opsbook.engine.parameters import names_of_parameters
from opsbook.engine.procedure import Step
from opsbook.engine.states import ChangeState, RunState, StepState
from opsbook.engine.templates import fill_text, text_of
from opsbook.store import runs
from opsbook.store.database import reading


def items_of(step: Step) -> list[str]:
    """What a person step asks for, in order."""
    return [str(item) for item in step.body.get("items") or [step.body.get("text") or step.title]]


def items_with(step: Step, names: Mapping[str, Any]) -> list[str]:
    """The same with values; an act that reads what has none yet stays as it is written."""
    return [told_with(item, names) for item in items_of(step)]


def told_with(text: str, names: Mapping[str, Any]) -> str:
    """A text for people with the values in its templates; as it is written where one has none, or is a secret."""
    try:
        return text_of(fill_text(text, names), text)
    except ExpressionError:
        return text


def open_item(execution: Execution, step: Step) -> str:
    """The next act that nobody has ticked; empty where all are, and then the step is done."""
    with reading(execution.setting.store) as connection:
        ticked = {act.item: act for act in runs.acts_of(connection, execution.run.id) if act.step == step.id}
    items = _filled(execution, step)
    open_items = [item for number, item in enumerate(items) if number not in ticked]
    if open_items:
        execution.set_step(step, state=StepState.WAITING.value, message=open_items[0])
        return open_items[0]
    done = [{"item": items[n], "by": act.actor, "at": act.at, "note": act.note} for n, act in sorted(ticked.items())]
    execution.set_run(state=RunState.RUNNING.value, message="")
    conclude(execution, step, {"acts": done})
    return ""


def _filled(execution: Execution, step: Step) -> list[str]:
    """The acts with the values that earlier steps found."""
    names = {
        **names_of_parameters(execution.procedure, execution.parameters),
        **execution.saved,
        "saved": execution.saved,
    }
    return items_with(step, names)


def undecided(execution: Execution) -> runs.ChangeRow | None:
    """The change whose outcome is not known."""
    for row in execution.changes.values():
        if row.state in (ChangeState.AMBIGUOUS, ChangeState.INTENT):
            return row
    return None


def resolved(execution: Execution) -> bool:
    """Whether a person has decided what became of the change; the run then goes on with that."""
    with reading(execution.setting.store) as connection:
        stored = {row.key: row for row in runs.changes_of(connection, execution.run.id)}
    row = undecided(execution)
    if row is not None and stored[row.key].state == ChangeState.AMBIGUOUS:
        return False
    execution.changes.update(stored)
    state = RunState.UNDOING if execution.run.verdict else RunState.RUNNING
    execution.set_run(state=state.value, message="", crashes=0)
    for step in execution.procedure.steps:
        known = execution.steps.get(step.id)
        if known and known.state == StepState.AMBIGUOUS:
            execution.set_step(step, state=StepState.RUNNING.value, message="")
    return True
