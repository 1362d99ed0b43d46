"""`opsbook report capacity`: what fills up, how fast, and when it is full."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from opsbook.cli.engine import opened
from opsbook.cli.options import book_options, format_option

if TYPE_CHECKING:
    from datetime import datetime

    from opsbook.watch.capacity import Growing


@click.command("capacity")
@book_options
@format_option("table", "json")
def capacity(book: str | None, env: str | None, output: str) -> int:
    """What fills up by `capacity` of the book: where it is, how it grows, and when it is full at that growth.

    Exit codes: 0 nothing is full soon, 1 something is full sooner than `warn_before`, 2 wrong usage.
    """
    from opsbook.checks.evaluate import State
    from opsbook.watch.capacity import outlooks

    with opened(book, env) as service:
        now = service.setting.clock.now()
        found = outlooks(service.setting, service.system, now)
        where = {"system": service.system.model.system, "environment": service.system.name}
    if output == "json":
        told = {**where, "at": now.isoformat(), "capacity": [one.as_json(now) for one in found]}
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        _print(found, now)
    return int(any(one.state(now) is not State.OK for one in found))


def _print(found: list[Growing], now: datetime) -> None:
    from rich.table import Table

    from opsbook.cli.terminal import screen

    console = screen()
    if not found:
        console.print("the book has no `capacity`: name what fills up, and the check that measures it")
        return
    table = Table("", "check", "how it stands", box=None, pad_edge=False)
    for one in found:
        style = {"warning": "yellow", "critical": "bold red"}.get(one.state(now), "")
        table.add_row(one.capacity.id, one.check.id, one.sentence(now), style=style)
    console.print(table)
