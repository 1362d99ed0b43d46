"""The generations of backups on the terminal: a timeline by day, week and month, and why each is kept or goes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table
from rich.text import Text

from opsbook.book.recovery import Backup
from opsbook.book.units import Dimension, show, show_duration
from opsbook.cli.terminal import screen
from opsbook.cli.terminal import show as put
from opsbook.connectors.backups.pruning import Chosen, Pruning
from opsbook.recovery.pruning import NAMES, Mark, beginnings, mark, rules, timeline

COLOURS = {Mark.HELD: "cyan", Mark.PROVEN: "green", Mark.UNPROVEN: "yellow", Mark.DAMAGED: "red",
           Mark.GOING: "dim", Mark.NONE: "dim"}  # fmt: skip
UNITS = (("daily", "days", 31), ("weekly", "weeks", 27), ("monthly", "months", 24))
"""Rule, its row, and how many periods it shows where there is room."""
LABEL, WIDE = 8, 60


def print_prunings(backup: Backup, found: Sequence[Pruning], now: datetime, zone: ZoneInfo) -> None:
    """The picture and the reasons, for each store."""
    console = screen()
    for one in found:
        copies = " (copies)" if one.place == "second" else ""
        console.print(Text.assemble((backup.id, "bold"), (f" of {backup.of}, in {one.address}{copies}", "dim")))
        console.print(Text(f"keeps {rules(backup.keep)}", style="dim"))
        if one.chosen:
            console.print()
            picture(console, one.chosen, now, zone)
            console.print()
            put(console, reasons(one.chosen, now, wide=console.width >= WIDE))
        else:
            console.print("no backup is there")
        for bad in one.listing.unreadable:
            console.print(Text(f"{bad.stamp}  stays: {bad.reason}", style="red"))
        if one.listing.attempts:
            many = len(one.listing.attempts)
            console.print(Text(f"{many} without a manifest: swept when dead for a day", style="dim"))
        console.print(_sum(one))
        console.print()


def picture(console: Console, chosen: Sequence[Chosen], now: datetime, zone: ZoneInfo) -> None:
    """One row each for days, weeks and months; the newest at the right."""
    used: set[Mark] = set()
    for unit, name, most in UNITS:
        room = max(7, min(most, console.width - LABEL - (14 if console.width >= WIDE else 0)))
        marks = timeline(chosen, unit, room, now, zone)
        used |= set(marks)
        line = Text(f"{name:<{LABEL}}", style="dim")
        for one in marks:
            line.append(str(one), COLOURS[one])
        if console.width >= WIDE:
            begins = beginnings(unit, room, now, zone)[0]
            line.append(f"  since {begins:%Y-%m}" if unit == "monthly" else f"  since {begins:%b %d}", "dim")
        console.print(line)
    legend = Text(" " * LABEL if console.width >= WIDE else "")
    for one in Mark:
        if one in used and one is not Mark.NONE:
            legend.append(str(one), COLOURS[one]).append(f" {NAMES[one]}  ", "dim")
    legend.rstrip()
    put(console, legend)


def reasons(chosen: Sequence[Chosen], now: datetime, *, wide: bool) -> Table:
    """Why each is kept or goes, the newest first."""
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    table.add_column("stamp", no_wrap=True)
    if wide:
        table.add_column("age", justify="right", no_wrap=True)
        table.add_column("size", justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for one in chosen:
        manifest, how = one.stored.manifest, mark(one, now)
        age = " ".join(show_duration(max(0.0, (now - manifest.data_time).total_seconds())).split()[:2])
        why = Text(one.why) if one.kept else Text.assemble(("goes: " if wide else "", "bold"), (one.why, "dim"))
        row = [Text(str(how), COLOURS[how]), Text(manifest.stamp)]
        table.add_row(*row, *((age, show(manifest.stored, Dimension.SIZE)) if wide else ()), why)
    return table


def _sum(one: Pruning) -> str:
    freed = sum(each.stored.size for each in one.going)
    kept = len(one.chosen) - len(one.going)
    return f"{kept} kept, {len(one.going)} to go" + (f" ({show(freed, Dimension.SIZE)})" if freed else "")
