"""A procedure as it is rehearsed: it ends in an act of the rehearsal, so that all of it can be taken back. Pure.

The last step is a person's act. When the run waits for it, everything has been done and its locks are still held: the
checks are looked at, and the run is cancelled with undo, which is the engine's own way back. For the same reason a step
that would stop the run where it failed undoes it here; the failure is the same.
"""

from __future__ import annotations

from dataclasses import replace

from opsbook.book.catalogue import Risk
from opsbook.engine import limits
from opsbook.engine.gate import components_of
from opsbook.engine.procedure import OnFailure, Plan, Procedure, Step, StepKind
from opsbook.engine.record import change_from_json
from opsbook.rehearsal.samples import named

END = "rehearsal-ends"
ACT = "The rehearsal looks at the checks and takes back what was done"


def staged(procedure: Procedure) -> Procedure:
    """The procedure with its end. One that only looks is run as it is."""
    if procedure.risk is Risk.READ:
        return procedure
    steps = [
        replace(step, on_failure=OnFailure.UNDO) if step.on_failure is OnFailure.STOP else step
        for step in procedure.steps
    ]
    last = Step(
        id=END, kind=StepKind.PERSON, title=ACT, line=0, body={"text": ACT, "items": [ACT]}, risk=Risk.READ,
        idempotent=True, timeout=0.0,
    )  # fmt: skip
    return replace(procedure, steps=(*steps, last))


def touched(procedure: Procedure, values: dict[str, object]) -> frozenset[str]:
    """The components that it changes or locks."""
    changed = {named(name, dict(values)) for name in components_of(procedure)}
    return frozenset(changed | {path.partition("/")[0] for path in procedure.lock}) - {""}


def seconds_at_most(plan: Plan) -> float:
    """After which a run of it is not waited for any longer."""
    planned = {one.step: [change_from_json(change) for change in one.changes] for one in plan.steps}
    return 60.0 + sum(limits.seconds_at_most(step, planned.get(step.id, [])) for step in plan.procedure.steps)
