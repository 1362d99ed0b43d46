"""Repositories of pgBackRest on the terminal: their backups, and from when to when one can go back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from opsbook.book.recovery import Backup
    from opsbook.book.system import System
    from opsbook.recovery.stock import Listed


def print_repositories(found: Sequence[Listed], now: datetime, *, spaced: bool) -> None:
    """A table of each, newest first."""
    from rich.table import Table
    from rich.text import Text

    from opsbook.book.units import Dimension, show, show_duration
    from opsbook.cli.terminal import screen
    from opsbook.cli.terminal import show as put
    from opsbook.recovery.stock import NOT_CONFIGURED

    console = screen()
    for number, (backup, held) in enumerate(found):
        if number or spaced:
            console.print()
        where = f"  {backup.method} of {backup.of}, to {backup.to}"
        console.print(Text.assemble((backup.id, "bold"), (where, "dim")), soft_wrap=True)
        if not held.backups:
            what = f"not configured yet → opsbook run configure-{backup.id}"
            what = what if held.code == NOT_CONFIGURED else f"none yet → opsbook backup {backup.id}"
            console.print(Text(f"  {what}", style="yellow"))
            continue
        table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        table.add_column("  label", no_wrap=True)
        for name in ("type", "age", "size", "of"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("")
        for one in reversed(held.backups):
            age = " ".join(show_duration(max(0.0, (now - one.stop).total_seconds())).split()[:2])
            table.add_row(
                f"  {one.label}", one.type, age, show(one.stored, Dimension.SIZE), show(one.size, Dimension.SIZE),
                Text("a page was damaged", style="red") if one.error else "",
            )  # fmt: skip
        put(console, table)
        first = held.whole[0].stop if held.whole else None
        if first:
            told = f"  to any moment since {first:%Y-%m-%d %H:%M:%S} UTC; log archived up to {held.wal_last}"
            console.print(Text(told, style="dim"))


def show_one(system: System, backup: Backup, label: str, output: str, now: datetime) -> int:
    """One backup in full. Exit code."""
    from opsbook.book.units import Dimension, show, show_duration
    from opsbook.errors import UsageError
    from opsbook.recovery.continuous import held_by
    from opsbook.recovery.told import repository_backup

    held = held_by(system, backup)
    one = held.named(label)
    if one is None:
        raise UsageError(f"there is no {backup.id}/{label or '…'}", f"`opsbook backups list {backup.id}`")
    if output == "json":
        click.echo(json.dumps(repository_backup(one), indent=2))
        return 1 if one.error else 0
    took = (one.stop - one.start).total_seconds()
    lines = {
        "type": one.type + (f", on {', '.join(one.reference)}" if one.reference else ""),
        "taken": f"{one.start:%Y-%m-%d %H:%M:%S} UTC in {show_duration(took)},"
        f" {show_duration(max(0.0, (now - one.stop).total_seconds()))} ago",
        "size": f"{show(one.stored, Dimension.SIZE)} of {show(one.size, Dimension.SIZE)}",
        "log": f"{one.wal_start} to {one.wal_stop}; LSN {one.lsn_start} to {one.lsn_stop}",
        "encrypted": held.cipher,
        "damaged": "a page's checksum was wrong when it was taken" if one.error else "",
    }
    click.echo(f"{backup.id}/{one.label}")
    for name, line in lines.items():
        if line:
            click.echo(f"  {name:<10}{line}")
    return 1 if one.error else 0


def tell_newest(system: System, backup: Backup) -> None:
    """The newest backup in a line."""
    from opsbook.book.units import Dimension, show
    from opsbook.connectors.backups.pgbackrest import stanza_of
    from opsbook.recovery.continuous import held_by

    one = held_by(system, backup).named("")
    if one is not None:
        size = f"{show(one.stored, Dimension.SIZE)} of {show(one.size, Dimension.SIZE)}"
        click.echo(f"  {stanza_of(system, backup).address}: {one.label} ({one.type}), {size}")
