"""A rehearsal on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from opsbook.book.units import show_duration
from opsbook.cli.terminal import console
from opsbook.rehearsal.formats import details
from opsbook.rehearsal.model import Outcome, Rehearsal, Verdict

MARK = {
    Verdict.WORKS: ("✓", "green"),
    Verdict.FAILS: ("✗", "bold red"),
    Verdict.NEEDS: ("?", "yellow"),
    Verdict.BY_HAND: ("☞", "dim"),
    Verdict.LEFT_OUT: ("–", "dim"),
}


def print_rehearsal(found: Rehearsal, out: str | None) -> None:
    """To standard output, or as plain text into a file."""
    if not out:
        _print(found, console())
        return
    with Path(out).open("w", encoding="utf-8") as file:
        _print(found, Console(file=file, width=200, soft_wrap=True, highlight=False, color_system=None))


def _print(found: Rehearsal, screen: Console) -> None:
    table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "procedure", "risk", "took", "result"):
        table.add_column(name, no_wrap=name != "result", overflow="fold")
    for outcome in found.outcomes:
        mark, style = MARK[outcome.verdict]
        took = show_duration(round(outcome.seconds, 1)) if outcome.seconds >= 0.05 else ""
        result = Text(outcome.sentence, style="" if outcome.verdict is Verdict.WORKS else style)
        table.add_row(Text(mark, style=style), outcome.procedure, outcome.risk, took, result)
    screen.print(table, soft_wrap=False)
    for line in (*_remarks(found.outcomes), *_silence(found), *_summary(found)):
        screen.print(line)


def _remarks(outcomes: tuple[Outcome, ...]) -> Iterator[Text]:
    for outcome in outcomes:
        if lines := details(outcome):
            yield Text("\n" + outcome.procedure, style="bold")
            yield from (Text(f"  {line}", style="dim") for line in lines)


def _silence(found: Rehearsal) -> Iterator[Text]:
    for kind, words, number in (("check", "checks", found.checks), ("alert", "alert rules", found.alerts)):
        names = [one.name for one in found.silent if one.kind == kind]
        if names:
            times = "this rehearsal" if found.rehearsals == 1 else f"{found.rehearsals} rehearsals"
            head = Text(f"\n{len(names)} of {number} {words} never fired in {times}: ", style="bold")
            yield head.append(", ".join(names), style="dim not bold")


def _summary(found: Rehearsal) -> Iterator[Text]:
    yield from (Text(f"\n{note}", style="yellow") for note in found.notes)
    style = "green" if found.works else "red"
    took = show_duration(round(found.seconds, 1))
    yield Text.assemble(("\n" + found.totals, style), (f" — {found.title}, {found.environment}, {took}", "dim"))
