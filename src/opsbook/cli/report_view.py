"""The report of recovery on the terminal."""

from __future__ import annotations

from datetime import UTC

from rich.console import Console
from rich.table import Table
from rich.text import Text

from opsbook.cli.generations_view import picture
from opsbook.cli.terminal import show
from opsbook.manual.render.words import moment
from opsbook.recovery.objectives import clock, duration, sparkline
from opsbook.recovery.outlook import sentence
from opsbook.recovery.pruning import rules, zone_of
from opsbook.recovery.report import Kept, Report
from opsbook.recovery.report_page import summary

STANDING = {"proven": "green", "unproven": "yellow", "missed": "bold red"}


def print_report(console: Console, found: Report) -> None:
    """Promises, what is unproven, backups, holds."""
    model = found.system.model
    console.print(Text(f"{model.title or model.system}: recovery", style="bold"))
    console.print(Text(f"{moment(found.at.astimezone(UTC))} UTC in {found.system.name}. {summary(found)}", style="dim"))
    console.print()
    if found.promises:
        show(console, _promises(found))
        for one in found.promises:
            console.print(Text(f"{one.judged.name}: {sentence(one.forecast, one.objective, found.at)}", style="dim"))
    console.print(Text("\nUnproven", style="bold"))
    for told in found.unproven or ("nothing: every promise and every backup has its proof",):
        console.print(Text(f"  {told}"))
    for kept in found.kept:
        _backup(console, found, kept)
    if found.holds:
        console.print(Text("\nHolds", style="bold"))
    for held in found.holds:
        until = f" until {moment(held.hold.until)}" if held.hold.until else ""
        console.print(Text(f"  {held.folder}: {held.hold.reason} (by {held.hold.by}{until})"))


def _promises(found: Report) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for heading in ("promise", "promised", "measured", "last proof", "trend", "standing"):
        table.add_column(heading, no_wrap=heading != "standing")
    for one in found.promises:
        for promise in one.judged.promises:
            table.add_row(
                f"{one.judged.name} {promise.figure.upper()}", clock(promise.target),
                duration(promise.measured) if promise.measured is not None else "–",
                moment(one.judged.last.at) if one.judged.last else "never",
                sparkline(promise.trend, promise.target), Text(str(promise.standing), STANDING[str(promise.standing)]),
            )  # fmt: skip
    return table


def _backup(console: Console, found: Report, kept: Kept) -> None:
    backup = kept.backup
    told = f"{backup.method} of {backup.of}, keeps {rules(backup.keep)}"
    console.print(Text.assemble(("\nBackup ", "bold"), (backup.id, "bold"), (f"  {told}", "dim")))
    if kept.problem:
        console.print(Text(f"  {kept.problem}", style="yellow"))
    for one in kept.stores:
        going = len(one.going)
        console.print(Text(f"  {len(one.chosen)} in {one.address}" + (f", {going} to go" if going else "")))
        if one.chosen and one.place == "first":
            picture(console, one.chosen, found.at, zone_of(found.system, backup))
