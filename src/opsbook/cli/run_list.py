"""Lists of runs, one run in full, and its output."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import click
from rich.table import Table
from rich.text import Text

from opsbook.cli.run import next_step
from opsbook.cli.run_view import RUN_STYLE, duration, moment, printable, steps_table
from opsbook.cli.terminal import console
from opsbook.engine.states import RunState
from opsbook.engine.telling import parameters_told, shown
from opsbook.engine.views import REHEARSED, state_told
from opsbook.printable import one_line
from opsbook.store.runs import RunRow, output_of

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from opsbook.engine.locks import Held
    from opsbook.engine.views import View


def print_runs(
    found: Sequence[RunRow], held: Mapping[str, Sequence[Held]] | None = None, left: Collection[str] = ()
) -> None:
    """A table of runs, with the locks that they hold. `left`: those that were interrupted, and nobody goes on with."""
    screen = console()
    if not found:
        screen.print("nothing has run yet; `opsbook procedures` lists what can")
        return
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for name in ("run", "procedure", "environment", "state", "asked for", "by", "took"):
        table.add_column(name, no_wrap=True)
    table.add_column("", overflow="fold")
    for run in found:
        took = duration(run.ended_at - run.started_at) if run.ended_at and run.started_at else ""
        rehearsed = state_told(run) == REHEARSED
        style = "dim" if rehearsed else RUN_STYLE.get(RunState(run.state), "bold cyan")
        state = Text(state_told(run), style=style)
        message = f"and taken back, in {run.rehearsal}" if rehearsed else run.message
        kept = holding((held or {}).get(run.id, ()))
        cut_off = f"interrupted → opsbook runs follow {run.id}" if run.id in left else ""
        told = Text("\n".join(one_line(text) for text in (cut_off, message, kept) if text), style="dim")
        table.add_row(
            run.id, run.procedure, run.environment, state, moment(run.requested_at), run.requester, took, told
        )
    screen.print(table)


def holding(held: Sequence[Held]) -> str:
    """What a run keeps from others, in words; empty where nothing."""
    return "holds " + ", ".join(f"{one.path} since {moment(one.since)}" for one in held) if held else ""


def print_run(view: View, *, executed: bool) -> None:
    """One run in full. `executed`: whether a process goes on with it."""
    screen, run = console(), view.run
    screen.print(steps_table(view, executed=executed))
    if state_told(run) == REHEARSED:
        screen.print(Text(f"  rehearsed, and taken back, in {run.rehearsal}"))
    elif run.message:
        screen.print(Text(f"  {one_line(run.message)}"))
    screen.print()
    facts = {
        "asked for": f"{moment(run.requested_at)} by {run.requester} ({run.origin})",
        "parameters": parameters_told(json.loads(run.parameters)),
        "locks": holding(view.locks),
        "began": moment(run.started_at),
        "ended": moment(run.ended_at),
        "plan": run.digest[:12],
        "book": run.book_revision[:12],
        "broken glass": run.break_glass,
        "repeats": run.rerun_of,
        "interrupted": f"{run.crashes} times" if run.crashes else "",
    }
    for name, value in facts.items():
        if value:
            screen.print(Text.assemble((f"  {name:<13}", "dim"), one_line(value)))
    for one in view.approvals:
        void = f", void: {one.void}" if one.void else ""
        screen.print(Text(f"  approved by {one.approver} {moment(one.at)} ({one.digest[:12]}){one_line(void)}"))
    for act in view.acts:
        screen.print(
            Text(f"  {act.step}: act {act.item + 1} done by {act.actor} {moment(act.at)} {one_line(act.note)}")
        )
    for change in view.changes:
        first = (shown(json.loads(change.change)) or [""])[0]
        attempt = f", attempt {change.attempt}" if change.attempt > 1 else ""
        told = f": {change.message}" if change.message else ""
        key = change.key.removeprefix(f"{run.id}/")
        screen.print(Text(f"  {key} {change.state}{attempt}{one_line(told)}  {first}"[:300]))
    if hint := next_step(view):
        screen.print(Text(f"  → {hint}"))


def print_log(store: Engine, view: View, step: str) -> None:
    """The output that is kept, with a note where something was left out."""
    names = [one.id for one in view.procedure.steps if not step or one.id == step]
    if not names:
        from opsbook.book.words import nearest
        from opsbook.errors import UsageError

        raise UsageError(f"the run has no step {step!r}", nearest(step, [one.id for one in view.procedure.steps]))
    for name in names:
        rows = sorted(output_of(store, view.run.id, step=name), key=lambda row: int(row.start))
        if rows and not step:
            click.echo(f"── {name}", err=True)
        at = 0
        for row in rows:
            if row.start > at:
                click.echo(f"\n… {row.start - at:,} characters are not kept …", err=True)
            click.echo(printable(row.text), nl=False)
            at = row.start + len(row.text)
