"""`opsbook objectives`: what is promised about recovery, and what was measured."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from opsbook.cli.engine import opened
from opsbook.cli.options import book_options, format_option

if TYPE_CHECKING:
    from datetime import datetime

    from opsbook.recovery.report import Promised

COLOURS = {"proven": "green", "unproven": "yellow", "missed": "bold red"}


@click.command("objectives")
@book_options
@format_option("table", "json")
def command(book: str | None, env: str | None, output: str) -> int:
    """Every promise about recovery with its last proof, its age, its trend, and what could be recovered from now.

    Exit codes: 0 all are proven, 1 one is missed or unproven, 2 wrong usage.
    """
    from opsbook.recovery.report import promised
    from opsbook.recovery.told import promised_as_json

    with opened(book, env) as service:
        now = service.setting.clock.now()
        known = promised(service.setting, service.system, now)
        found = [one.judged for one in known]
    if output == "json":
        click.echo(json.dumps([promised_as_json(one, now) for one in known], indent=2, ensure_ascii=False))
    elif not found:
        click.echo("the book promises nothing about recovery; write `objectives` in book.yaml", err=True)
    else:
        _print(known, now)
    return 0 if all(one.standing == "proven" for one in found) else 1


def _print(known: list[Promised], now: datetime) -> None:
    from rich.table import Table
    from rich.text import Text

    from opsbook.cli.terminal import screen, show
    from opsbook.recovery.objectives import clock, duration, sparkline
    from opsbook.recovery.outlook import sentence

    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for heading in ("objective", "promise", "measured", "last drill", "recoverable now", "trend", "standing", ""):
        table.add_column(heading)
    for one in [each.judged for each in known]:
        for n, promise in enumerate(one.promises):
            drilled = f"{duration((now - one.last.at).total_seconds())} ago" if one.last else "never"
            source = f"{duration((now - one.source.data_time).total_seconds())} old" if one.source else "nothing"
            table.add_row(
                one.name if n == 0 else "", f"{promise.figure.upper()} {clock(promise.target)}",
                duration(promise.measured) if promise.measured is not None else "–", drilled if n == 0 else "",
                source if promise.figure == "rpo" else "", sparkline(promise.trend, promise.target),
                Text(str(promise.standing), COLOURS[str(promise.standing)]), promise.why,
            )  # fmt: skip
    console = screen()
    show(console, table)
    for each in known:
        if each.forecast is not None:
            console.print(Text(f"{each.judged.name}: {sentence(each.forecast, each.objective, now)}", style="dim"))
