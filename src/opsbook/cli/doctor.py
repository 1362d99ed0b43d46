"""`opsbook doctor`: can everything that the book needs be reached, and what to do where not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from opsbook.cli.options import book_options, format_option, read_system

if TYPE_CHECKING:
    from opsbook.book.system import System
    from opsbook.checks.diagnosis import Diagnosis

NARROW = 110
"""Below this width what is said of a thing goes below its name."""
STYLE = {"fine": "green", "note": "yellow", "wrong": "bold red"}


@click.command("doctor")
@book_options
@format_option("table", "json")
def command(book: str | None, env: str | None, output: str) -> int:
    """Try every component, the runtime, credentials and tools that the book needs; say what to do where one is missing.

    Exit codes: 0 everything can be reached, 2 the book is wrong, 3 something cannot be reached.
    """
    import asyncio

    system = read_system(book, env)
    found = asyncio.run(_examine(system))
    found.append(_store(system))
    if found[-1].health != "wrong":
        found += _audit(system)
    found += _words(system)
    if output == "json":
        _print_json(system, found)
    else:
        _print(system, found)
    return 3 if any(one.health == "wrong" for one in found) else 0


async def _examine(system: System) -> list[Diagnosis]:
    from opsbook.checks.doctor import examine
    from opsbook.clock import SystemClock
    from opsbook.connectors.registry import open_connections

    async with open_connections(system) as connections:
        return await examine(system, connections, SystemClock())


def _store(system: System) -> Diagnosis:
    """Whether results can be kept. Opening it creates it where it is not there, which is what `check` does too."""
    from opsbook.book.references import hide_password
    from opsbook.checks.diagnosis import Diagnosis, Health
    from opsbook.errors import OpsbookError
    from opsbook.store.database import open_store, store_address, writing

    address = store_address(system.folder)
    name = hide_password(address).removeprefix("sqlite:///")
    try:
        engine = open_store(address)
        with writing(engine):
            pass
        engine.dispose()
    except OpsbookError as error:
        return Diagnosis("store", name, Health.WRONG, error.message, error.hint)
    return Diagnosis("store", name, Health.FINE, "can be written")


def _audit(system: System) -> Iterator[Diagnosis]:
    """Whether acts can be signed, and copied to where the book says."""
    from opsbook.checks.diagnosis import Diagnosis, Health
    from opsbook.engine.setting import open_setting
    from opsbook.errors import OpsbookError

    try:
        setting = open_setting(system)
    except OpsbookError as error:
        yield Diagnosis("audit", "head", Health.WRONG, error.message, error.hint)
        return
    try:
        setting.head.check()
        says = f"can be signed with {setting.head.key_name}"
        yield Diagnosis("audit", str(setting.head.file), Health.FINE, says)
    except OpsbookError as error:
        yield Diagnosis("audit", str(setting.head.file), Health.WRONG, error.message, error.hint)
    if setting.export is not None:
        name = str(system.model.audit.export_to)
        try:
            setting.export.check(setting.store, setting.now())
            yield Diagnosis("audit", name, Health.FINE, "can be copied to")
        except OpsbookError as error:
            yield Diagnosis("audit", name, Health.WRONG, error.message, error.hint)
    setting.close()


def _words(system: System) -> Iterator[Diagnosis]:
    """Templates of messages that cannot be used. No message is lost by one: the packaged words go out in its place."""
    from opsbook.checks.diagnosis import Diagnosis, Health
    from opsbook.watch.wording import faults_of

    for name, fault in faults_of(system.folder):
        yield Diagnosis("book", name, Health.NOTE, fault, "mend or remove it; until then the packaged words are used")


def _print_json(system: System, found: list[Diagnosis]) -> None:
    import json
    from dataclasses import asdict

    document = {
        "system": system.model.system,
        "environment": system.name,
        "health": max((one.health for one in found), key=["fine", "note", "wrong"].index),
        "diagnoses": [asdict(one) for one in found],
    }
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _print(system: System, found: list[Diagnosis]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from opsbook.cli.terminal import screen, show

    console = screen()
    wide = console.width >= NARROW
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    if wide:
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold", max_width=32)
    table.add_column(overflow="fold", ratio=1)
    for one in sorted(found, key=lambda one: list(STYLE).index(one.health), reverse=True):
        mark, name = f"[{STYLE[one.health]}]{one.health}[/]", escape(one.name)
        says = escape(one.message) + (f"\n[cyan]→ {escape(one.hint)}[/cyan]" if one.hint else "")
        if wide:
            table.add_row(mark, one.area, name, says)
        else:
            table.add_row(mark, f"[bold]{one.area} {name}[/bold]: {says}")
    show(console, table)
    counts = {health: sum(one.health == health for one in found) for health in ("wrong", "note", "fine")}
    summary = ", ".join(f"{count} {health}" for health, count in counts.items() if count)
    console.print(f"\n{system.model.system} in {system.name}: {summary}")
