"""A plan as plain commands, to be read and run by hand on the day when opsbook itself is down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from opsbook.book.system import System
from opsbook.connectors.by_hand.script import RENDERERS, Script
from opsbook.connectors.by_hand.shell_text import comment
from opsbook.connectors.change import Json
from opsbook.engine.parameters import names_of_parameters
from opsbook.engine.procedure import Plan, PlannedStep, Step, StepKind
from opsbook.engine.telling import pairs, shown
from opsbook.engine.waiting import items_with, told_with

INDENT = "    "


def as_commands(plan: Plan, system: System) -> str:
    """The plan as a bash script. Secrets stand as variables, and nothing is guarded: whoever runs it looks first."""
    script = Script(system)
    planned = {one.step: one for one in plan.steps}
    names = names_of_parameters(plan.procedure, plan.parameters)
    steps = [
        line
        for number, step in enumerate(plan.procedure.steps, 1)
        for line in _step(number, step, planned[step.id], script, names)
    ]
    head = f"{plan.procedure.title} ({plan.procedure.name}), {plan.environment}, plan {plan.digest[:12]}"
    lines = [*comment(head), *comment("Read it before you run it, and run it step by step. Nothing looks whether")]
    lines += comment("the system is still as it was when this was planned, and nothing undoes what it did.")
    return "\n".join([*lines, "", *script.opening(), *steps]) + "\n"


def _step(number: int, step: Step, planned: PlannedStep, script: Script, names: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield from comment(f"{number}. {told_with(step.title, names) or step.id} [{step.risk}]")
    if step.kind is StepKind.PERSON:
        yield from (line for item in items_with(step, names) for line in comment(f"by hand: {item}", INDENT))
    elif planned.deferred or planned.skipped:
        yield from comment(planned.deferred or f"left out: {planned.skipped}", INDENT)
        if planned.deferred:
            yield from (line for told in pairs(step.body) for line in comment(told, INDENT))
    elif not planned.changes:
        nothing = ["nothing to do"] if step.kind is StepKind.OP else [f"look: {one}" for one in pairs(step.body)]
        yield from (line for told in nothing for line in comment(told, INDENT))
    for change in planned.changes:
        yield from _change(change, script)


def _change(change: Json, script: Script) -> Iterator[str]:
    render = RENDERERS.get(change["kind"])
    if render is not None:
        yield from render(change, script)
        return
    yield from comment(f"by hand, there is no single command for it: {change['kind']}", INDENT)
    yield from (line for told in shown(change) for line in comment(told, INDENT))
