"""Undoing what a run did, in reverse: each inverse was planned and approved with its step, and is journalled alike.

An inverse is applied only if the state is what the step left: its own guard says so, and the executor checks it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Json
from opsbook.engine.execution import Execution, key_of
from opsbook.engine.procedure import Step
from opsbook.engine.states import ChangeState, RunState, StepState
from opsbook.store import runs

HAPPENED = frozenset({ChangeState.DONE, ChangeState.UNSURE})
SETTLED = frozenset({ChangeState.DONE, ChangeState.IMPOSSIBLE, ChangeState.UNSURE})
NOTHING = "nothing to undo"
"""How the inverse of a change begins that leaves nothing: without it, no run with a wait could end as undone."""


@dataclass(frozen=True)
class Undoing:
    """The next change to be undone."""

    step: Step
    index: int
    inverse: Json
    impossible: str
    """Why there is no undo; empty where there is."""
    row: runs.ChangeRow | None
    """The undo's own row, where it was begun."""


def next_one(execution: Execution) -> Undoing | None:
    """The newest change that is not undone yet; None where all are, or where one could not be."""
    for row in _happened(execution):
        step = execution.step_named(row.step)
        undone = execution.changes.get(key_of(row.run, row.step, row.index, undo=True))
        if undone is not None and undone.state in SETTLED:
            continue
        if undone is not None and undone.state in (ChangeState.FAILED, ChangeState.REFUSED):
            return None
        inverse = json.loads(row.change)["inverse"]
        return Undoing(step, row.index, inverse, inverse if isinstance(inverse, str) else "", undone)
    return None


def note_impossible(execution: Execution, undoing: Undoing) -> None:
    """A change that there is no undo of: the record says so."""
    nothing = {"kind": "none", "effect": None, "evidence": None, "guard": None, "inverse": ""}
    row = execution.begin_change(undoing.step, undoing.index, nothing, undo=True)
    execution.end_change(row, ChangeState.IMPOSSIBLE, None, undoing.impossible)


def verdict(execution: Execution) -> tuple[RunState, str]:
    """How a run ends whose undoing is over, and what could not be undone."""
    run = execution.run
    undone = [row for row in execution.changes.values() if row.undo]
    left = [f"{row.step}: {row.message}" for row in undone if row.state != ChangeState.DONE]
    for row in undone:
        if row.state == ChangeState.DONE:
            execution.set_step(execution.step_named(row.step), state=StepState.UNDONE.value)
    told = f"{run.message}; not undone: {'; '.join(left)}" if left else run.message
    if run.verdict == RunState.FAILED and not left:
        return RunState.UNDONE, told
    return RunState(run.verdict), told


def _happened(execution: Execution) -> list[runs.ChangeRow]:
    """What this run changed, newest first. What only looked needs no undo."""
    order = {step.id: number for number, step in enumerate(execution.procedure.steps)}
    rows = [
        row
        for row in execution.changes.values()
        if not row.undo
        and row.state in HAPPENED
        and execution.step_named(row.step).risk is not Risk.READ
        and not _leaves_nothing(row)
    ]
    return sorted(rows, key=lambda row: (order[row.step], row.index), reverse=True)


def _leaves_nothing(row: runs.ChangeRow) -> bool:
    """Whether the change says itself that it leaves nothing: a wait, a statement that only reads."""
    inverse = json.loads(row.change)["inverse"]
    return isinstance(inverse, str) and inverse.startswith(NOTHING)
