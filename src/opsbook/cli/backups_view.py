"""Stored backups on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from opsbook.book.recovery import Backup
from opsbook.book.units import Dimension, show, show_duration
from opsbook.cli.run_view import moment
from opsbook.cli.terminal import screen
from opsbook.cli.terminal import show as put
from opsbook.connectors.backups.catalogue import Listing, StoredBackup
from opsbook.connectors.backups.manifest import Proof
from opsbook.connectors.backups.signing import Signature

LARGEST = 8
"""Tables that are shown of one backup."""


def print_listing(found: Sequence[tuple[Backup, Listing]], now: datetime) -> None:
    """A table of each backup of the book, newest first."""
    console = screen()
    if not found:
        console.print("the book has no backups that opsbook takes; write `backups` in book.yaml")
    for number, (backup, held) in enumerate(found):
        if number:
            console.print()
        console.print(
            Text.assemble((backup.id, "bold"), (f"  {backup.method} of {backup.of}, to {backup.to}", "dim")),
            soft_wrap=True,
        )
        if held.backups:
            put(console, _table(held, now))
        elif not held.unreadable:
            console.print(Text(f"  none yet → opsbook backup {backup.id}", style="yellow"))
        for bad in held.unreadable:
            console.print(Text(f"  {bad.stamp}  {bad.reason}", style="red"))
        if held.attempts:
            many = f"{len(held.attempts)} attempts" if len(held.attempts) > 1 else "an attempt"
            console.print(Text(f"  {many} without a manifest: under way, or died and swept after a day", style="dim"))


def _table(held: Listing, now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("  stamp", no_wrap=True)
    for name in ("age", "size", "of", "rows"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("proof", overflow="fold")
    for one in reversed(held.backups):
        manifest, database = one.manifest, one.manifest.database
        rows = f"{sum(each.rows for each in database.tables):,}" if database else ""
        rows = f"{len(manifest.files):,} files" if manifest.files else rows
        table.add_row(
            Text(f"  {manifest.stamp}"),
            _rough((now - manifest.data_time).total_seconds()),
            show(manifest.stored, Dimension.SIZE),
            show(manifest.plain, Dimension.SIZE),
            rows,
            _standing(one, now),
        )
    return table


def _standing(one: StoredBackup, now: datetime) -> Text:
    """What is known of it, the worst first."""
    if one.signature is not Signature.GOOD:
        return Text(one.signature.value, style="yellow" if one.signature is Signature.OTHER_KEY else "red")
    if one.absent:
        return Text(f"{len(one.absent)} parts are missing", style="red")
    told = _proven(one.proofs[-1], now) if one.proofs else Text("read back when taken", style="dim")
    if held := one.held(now):
        told.append("; held: " + ", ".join(hold.name for hold in held), style="cyan")
    return told


def _proven(proof: Proof, now: datetime) -> Text:
    ago = _rough((now - proof.at).total_seconds())
    if not proof.good:
        return Text(f"damaged ({ago} ago)", style="red")
    word = {"checksums": "verified", "restore": "restored", "drill": "drilled"}[proof.kind]
    return Text(f"{word} {ago} ago", style="green")


def _rough(seconds: float) -> str:
    """A duration in its largest unit."""
    return " ".join(show_duration(max(0.0, seconds)).split()[:2])


def print_backup(one: StoredBackup, address: str, now: datetime) -> None:
    """One backup in full."""
    console, manifest = screen(), one.manifest
    took = (manifest.finished - manifest.started).total_seconds()
    console.print(Text.assemble((one.folder, "bold"), "  ", _standing(one, now)))
    share = f" ({manifest.stored / manifest.plain:.0%} of {show(manifest.plain, Dimension.SIZE)})"
    encryption = f", age for {manifest.recipient}" if manifest.encryption == "age" else ", not encrypted"
    parts = "parts" if len(manifest.parts) > 1 else "part"
    lines = {
        "store": address,
        "taken": f"{moment(manifest.started.timestamp())} in {show_duration(took)}, in {manifest.environment}",
        "data of": f"{manifest.data_time:%Y-%m-%d %H:%M:%S} UTC",
        "method": f"{manifest.method} of {manifest.component}, by {manifest.tool}",
        "size": f"{show(manifest.stored, Dimension.SIZE)}{share if manifest.plain else ''}",
        "written": f"{manifest.compression}{encryption}; {len(manifest.parts)} {parts}",
        "signed": one.signature.value,
        **_database_lines(one),
        "files": f"{len(manifest.files):,}" if manifest.files else "",
        "copied to": ", ".join(manifest.copied_to),
        "missing": ", ".join(one.absent),
    }
    table = Table.grid(padding=(0, 2))
    for name, line in lines.items():
        if line:
            table.add_row(Text(f"  {name}", style="dim"), Text(line, overflow="fold"))
    for proof in one.proofs:
        table.add_row(Text("  proof", style="dim"), _proven(proof, now).append("; ".join(["", *proof.problems])))
    for hold in one.holds:
        until = f" until {hold.until:%Y-%m-%d}" if hold.until else ""
        table.add_row(Text("  held", style="dim"), Text(f"{hold.name}{until} by {hold.by}: {hold.reason}"))
    put(console, table)


def _database_lines(one: StoredBackup) -> dict[str, str]:
    database = one.manifest.database
    if database is None:
        return {}
    version = f"{database.server_version // 10000}.{database.server_version % 10000}"
    largest = sorted(database.tables, key=lambda table: -table.bytes)
    told = [f"{table.name} {table.rows:,}" for table in largest[:LARGEST]]
    more = f", and {len(largest) - LARGEST} more" if len(largest) > LARGEST else ""
    source = ", read from a standby" if database.from_replica else ""
    return {
        "database": f"{database.name} of PostgreSQL {version}, at LSN {database.lsn}{source}",
        "rows": ", ".join(told) + more,
    }
