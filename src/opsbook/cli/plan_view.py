"""A plan on the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from opsbook.book.catalogue import Risk
from opsbook.cli.terminal import console
from opsbook.engine.fences import component_of
from opsbook.engine.locks import Holder
from opsbook.engine.parameters import names_of_parameters
from opsbook.engine.policy import Missing
from opsbook.engine.procedure import Plan, PlannedStep, Step, StepKind
from opsbook.engine.telling import difference, evidence, parameters_told, shown, way_back
from opsbook.engine.waiting import items_with, told_with
from opsbook.printable import lines_of, one_line

RISK_STYLE = {Risk.READ: "dim", Risk.SAFE: "green", Risk.DISRUPTIVE: "yellow", Risk.DESTRUCTIVE: "red"}
MOST_LINES = 40
"""Lines of one change that are shown, its scope first; `--format json` has all of them."""
BESIDE = 66
"""Characters of a change of one line that stand beside its kind; longer ones stand below it."""
WIDEST = 140
"""Columns after which even a wide terminal's lines are wrapped: longer ones are not read."""


def print_plan(plan: Plan, lacks: Sequence[Missing], holders: Sequence[Holder], locks: Sequence[str] = ()) -> None:
    """Every step with its changes, then what the plan locks and needs."""
    screen = console()
    procedure = plan.procedure
    head = Text.assemble((one_line(procedure.title), "bold"), f" — {plan.environment}, ", risk_text(procedure.risk))
    screen.print(head)
    if plan.parameters:
        tell(screen, f"parameters: {parameters_told(plan.parameters)}", hang=12)
    planned = {one.step: one for one in plan.steps}
    names = names_of_parameters(procedure, plan.parameters)
    for number, step in enumerate(procedure.steps, 1):
        print_step(screen, number, step, planned[step.id], names)
    screen.print()
    if locks:
        tell(screen, f"locks: {', '.join(locks)}", hang=7)
    _print_needs(screen, plan, lacks, holders)


def risk_text(risk: Risk) -> Text:
    """A risk in its colour."""
    return Text(risk.value, style=RISK_STYLE[risk])


def tell(screen: Console, text: str, style: str = "", indent: str = "", hang: int = 2) -> None:
    """Text of others in lines of the terminal's width, each below the indent: no value can begin a line of its own."""
    width = max(40, min(screen.width, WIDEST)) if screen.is_terminal else 0
    wrapper = textwrap.TextWrapper(
        width, initial_indent=indent, subsequent_indent=indent + " " * hang, replace_whitespace=False,
        expand_tabs=False, break_on_hyphens=False,
    )  # fmt: skip
    for line in lines_of(text) or [""]:
        fits = not width or len(wrapper.initial_indent) + len(line) <= width
        for part in [wrapper.initial_indent + line] if fits else wrapper.wrap(line):
            screen.print(Text(part, style=style), soft_wrap=True)
        wrapper.initial_indent = wrapper.subsequent_indent


def print_step(
    screen: Console, number: int, step: Step, planned: PlannedStep, names: Mapping[str, Any] | None = None
) -> None:
    """One step with its changes. `names` are the values that acts of a person are told with."""
    screen.print()
    title = one_line(told_with(step.title, names or {}) or step.id)
    on = ", ".join(_targets(step, planned))
    where = f" on {one_line(on)}" if on else ""
    head = Text.assemble((f"{number}. {title}", "bold"), "  ", risk_text(step.risk), where, (f"  {step.id}", "dim"))
    screen.print(head)
    if planned.skipped:
        tell(screen, f"left out: {planned.skipped}", "dim", "   ")
    elif planned.deferred:
        tell(screen, f"planned when it is reached: {planned.deferred}", "dim", "   ")
    if step.kind is StepKind.PERSON and not planned.skipped:
        for item in items_with(step, names or {}):
            tell(screen, f"[ ] {one_line(item)}", "", "   ", 4)
    elif step.kind in (StepKind.CHECK, StepKind.PROMQL):
        looked = step.body.get("query") or ", ".join(map(str, step.body.get("checks", ())))
        tell(screen, f"looks: {looked}", "dim", "   ", 7)
    for change in planned.changes:
        _print_change(screen, step, change)
    if not planned.changes and step.kind is StepKind.OP and not (planned.skipped or planned.deferred):
        screen.print(Text("   nothing to do", style="dim"))


def _targets(step: Step, planned: PlannedStep) -> list[str]:
    """The components that its changes say they are done to; else what the step addresses."""
    told = (one["effect"].get("component") for one in planned.changes if isinstance(one["effect"], dict))
    found = dict.fromkeys(str(name) for name in told if name)
    written = component_of(step)
    return list(found) or ([written] if written and "{{" not in written else [])


def _print_change(screen: Console, step: Step, change: Any) -> None:
    lines, indent = shown(change) or [""], " " * 5
    if len(lines) == 1 and len(lines[0]) <= BESIDE:
        screen.print(Text.assemble("   ", (f"{change['kind']:<6} ", "cyan"), lines[0]))
    else:
        screen.print(Text(f"   {change['kind']}", style="cyan"))
        for line in lines[:MOST_LINES]:
            tell(screen, line, "", indent)
    if len(lines) > MOST_LINES:
        tell(screen, f"… {len(lines) - MOST_LINES:,} more lines; --format json has them", "dim", indent)
    for line in difference(change):
        tell(screen, line, _diff_style(line), indent)
    if seen := evidence(change):
        tell(screen, f"sees {seen}", "dim", indent, 5)
    if step.risk is not Risk.READ:
        tell(screen, f"undo {way_back(change)}", "dim", indent, 5)


def _diff_style(line: str) -> str:
    return "green" if line.startswith("+") else "red" if line.startswith("-") else "dim"


def _print_needs(screen: Console, plan: Plan, lacks: Sequence[Missing], holders: Sequence[Holder]) -> None:
    for one in lacks:
        tell(screen, f"needs: {one.sentence}", "yellow", hang=7)
    for holder in holders:
        tell(screen, f"waits: {holder}", "yellow", hang=7)
    screen.print(Text(f"plan {plan.digest[:12]}", style="dim"))
