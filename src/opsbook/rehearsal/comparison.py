"""What was done, held against what was planned: effects, numbers of changes, and amounts. Pure.

Another effect than the planned one is grave: what was shown is what is done. Another amount is only told: rows and
sessions come and go between a plan and its run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from opsbook.connectors.change import Json
from opsbook.engine.digest import step_differences
from opsbook.engine.procedure import Plan, PlannedStep
from opsbook.engine.states import ChangeState, StepState
from opsbook.rehearsal.model import Deviation, Undo
from opsbook.store.runs import ChangeRow, StepRow

COUNTS = (("rows", "deleted"), ("rows", "rows"), ("count", "rows"), ("keys", "unlinked"), ("now", "before"))
"""Where a change's evidence and its result count the same: key of the evidence, key of the result."""


def deviations(plan: Plan, steps: Mapping[str, StepRow], changes: Sequence[ChangeRow]) -> list[Deviation]:
    """Where the run did something else than the plan said, for the steps that it reached."""
    found: list[Deviation] = []
    for planned in plan.steps:
        row = steps.get(planned.step)
        if row is None or planned.deferred:
            continue
        made = sorted((one for one in changes if one.step == planned.step and not one.undo), key=lambda one: one.index)
        found += [Deviation(planned.step, told, True) for told in _other_effects(planned, row, made)]
        found += [Deviation(planned.step, told, False) for told in _other_amounts(made)]
    return found


def _other_effects(planned: PlannedStep, row: StepRow, made: Sequence[ChangeRow]) -> Iterator[str]:
    if row.state == StepState.SKIPPED:
        if planned.changes:
            yield f"it was left out: {row.message}"
        return
    if planned.skipped:
        yield "its plan left it out, and it ran"
        return
    if row.state == StepState.DONE and len(made) != len(planned.changes):
        yield f"{len(planned.changes)} changes were planned, and {len(made)} made"
        return
    # Guards and inverses may be made anew when a step is reached; effects may not.
    before = replace(planned, changes=planned.changes[: len(made)], follows="before")
    after = replace(before, changes=tuple(json.loads(one.change) for one in made[: len(planned.changes)]))
    yield from (told.partition(": ")[2] for told in step_differences(before, after))


def _other_amounts(made: Sequence[ChangeRow]) -> Iterator[str]:
    for one in made:
        seen, said = json.loads(one.change).get("evidence"), json.loads(one.result) if one.result else None
        if one.state == ChangeState.DONE and (told := amounts(seen, said)):
            yield told


def amounts(seen: Json, said: Json) -> str:
    """The first count that differs between evidence and result, as a sentence; empty where none does."""
    if not isinstance(seen, dict) or not isinstance(said, dict):
        return ""
    for planned, happened in COUNTS:
        before, after = seen.get(planned), said.get(happened)
        if isinstance(before, bool) or not isinstance(before, int | float) or not isinstance(after, int | float):
            continue
        return f"{before:,} {planned} were seen, and {after:,} {happened}" if before != after else ""
    return ""


def undo_of(changes: Sequence[ChangeRow]) -> Undo:
    """What became of the way back."""
    back = [one for one in changes if one.undo]
    impossible = [f"{one.step}: {one.message}" for one in back if one.state == ChangeState.IMPOSSIBLE]
    tried = [one for one in back if one.state != ChangeState.IMPOSSIBLE]
    good = [one for one in tried if one.state == ChangeState.DONE]
    failed = [(one.step, one.message or one.state) for one in tried if one.state != ChangeState.DONE]
    return Undo(len(tried), len(good), tuple(impossible), tuple(failed))
