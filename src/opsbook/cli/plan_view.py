"""A plan on the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from opsbook.book.catalogue import Risk
from opsbook.engine import digest
from opsbook.engine.gate import components_of
from opsbook.engine.locks import Holder
from opsbook.engine.policy import Missing
from opsbook.engine.procedure import Plan, PlannedStep, Step, StepKind
from opsbook.engine.record import as_json
from opsbook.engine.telling import evidence, shown, way_back
from opsbook.engine.waiting import items_of

RISK_STYLE = {Risk.READ: "dim", Risk.SAFE: "green", Risk.DISRUPTIVE: "yellow", Risk.DESTRUCTIVE: "red"}
MOST_LINES = 12
"""Lines of one change that are shown; `--format json` has all of them."""


def console() -> Console:
    """Plain text where the output is no terminal, and as wide as it needs to be there."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=200, soft_wrap=True)


def print_plan(plan: Plan, lacks: Sequence[Missing], holders: Sequence[Holder]) -> None:
    """Every step with its changes, then what the plan needs."""
    screen = console()
    procedure = plan.procedure
    head = Text.assemble((procedure.title, "bold"), f" — {plan.environment}, ", risk_text(procedure.risk))
    screen.print(head)
    planned = {one.step: one for one in plan.steps}
    for number, step in enumerate(procedure.steps, 1):
        print_step(screen, number, step, planned[step.id])
    screen.print()
    _print_needs(screen, plan, lacks, holders)


def plan_as_json(plan: Plan, lacks: Sequence[Missing], holders: Sequence[Holder]) -> dict[str, Any]:
    """All of the plan for programs."""
    return {
        "procedure": plan.procedure.name,
        "title": plan.procedure.title,
        "risk": plan.procedure.risk.value,
        "environment": plan.environment,
        "parameters": plan.parameters,
        "digest": plan.digest,
        "book_revision": plan.book_revision,
        "components": list(components_of(plan.procedure)),
        "missing": [vars(one) for one in lacks],
        "in_the_way": [vars(one) for one in holders],
        "steps": [{**as_json(one), "digest": digest.step_digest(one)} for one in plan.steps],
    }


def risk_text(risk: Risk) -> Text:
    """A risk in its colour."""
    return Text(risk.value, style=RISK_STYLE[risk])


def print_step(screen: Console, number: int, step: Step, planned: PlannedStep) -> None:
    """One step with its changes."""
    screen.print()
    screen.print(
        Text.assemble(
            (f"{number}. {step.title or step.id}", "bold"), "  ", risk_text(step.risk), (f"  {step.id}", "dim")
        )
    )
    if planned.skipped:
        screen.print(Text(f"   left out: {planned.skipped}", style="dim"))
    elif planned.deferred:
        screen.print(Text(f"   planned when it is reached: {planned.deferred}", style="dim"))
    elif step.kind is StepKind.PERSON:
        for item in items_of(step):
            screen.print(Text(f"   [ ] {item}"))
    elif step.kind in (StepKind.CHECK, StepKind.PROMQL):
        looked = step.body.get("query") or ", ".join(map(str, step.body.get("checks", ())))
        screen.print(Text(f"   looks: {looked}", style="dim"))
    for change in planned.changes:
        _print_change(screen, step, change)
    if not planned.changes and step.kind is StepKind.OP and not (planned.skipped or planned.deferred):
        screen.print(Text("   nothing to do", style="dim"))


def _print_change(screen: Console, step: Step, change: Any) -> None:
    lines = shown(change)
    screen.print(Text.assemble((f"   {change['kind']:<6} ", "cyan"), lines[0] if lines else ""))
    for line in lines[1:MOST_LINES]:
        screen.print(Text(" " * 9 + line))
    if len(lines) > MOST_LINES:
        screen.print(Text(f"{' ' * 9}… {len(lines) - MOST_LINES} more lines", style="dim"))
    if seen := evidence(change):
        screen.print(Text(f"         sees {seen}", style="dim"))
    if step.risk is not Risk.READ:
        screen.print(Text(f"         undo {way_back(change)}", style="dim"))


def _print_needs(screen: Console, plan: Plan, lacks: Sequence[Missing], holders: Sequence[Holder]) -> None:
    for one in lacks:
        screen.print(Text(f"needs: {one.sentence}", style="yellow"))
    for holder in holders:
        screen.print(Text(f"waits: {holder}", style="yellow"))
    screen.print(Text(f"plan {plan.digest[:12]}", style="dim"))
