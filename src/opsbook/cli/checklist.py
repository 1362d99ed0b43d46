"""`opsbook checklist`: recurring and situational work, line by line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from opsbook.cli.engine import opened, say
from opsbook.cli.group import Verbs
from opsbook.cli.options import book_options, format_option

if TYPE_CHECKING:
    from opsbook.store.checklists import Opened

RECENT_SECONDS = 7 * 24 * 3600.0


@click.group("checklist", cls=Verbs, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> int:
    """Show the checklists that are open, and tick their lines."""
    if ctx.invoked_subcommand is None:
        return int(ctx.invoke(list_, book=None, env=None, output="table", everything=False))
    return 0


@command.command("list")
@book_options
@format_option("table", "json")
@click.option("--all", "everything", is_flag=True, help="Those that were done in the last week too.")
def list_(book: str | None, env: str | None, output: str, everything: bool) -> int:
    """List the checklists that are open, and which of them are late. Exit code 1 where one is late."""
    from opsbook.store.checklists import not_done, since
    from opsbook.store.database import reading
    from opsbook.watch.checklists import as_json
    from opsbook.watch.silences import here

    with opened(book, env) as service:
        now, zone = service.setting.now(), ZoneInfo(str(service.system.model.timezone))
        with reading(service.setting.store) as connection:
            where = here(service.system)
            found = since(connection, where, now - RECENT_SECONDS) if everything else not_done(connection, where)
    if output == "json":
        click.echo(json.dumps([as_json(one, now) for one in found], indent=2, ensure_ascii=False))
    elif not found:
        click.echo("no checklist is open", err=True)
    else:
        _print(found, zone, now)
    return int(any(one.late(now) for one in found))


@command.command("show")
@book_options
@format_option("text", "json")
@click.argument("checklist")
def show(book: str | None, env: str | None, output: str, checklist: str) -> int:
    """Show the lines of CHECKLIST (its id, or its name for the newest), and who or what ticked each."""
    from opsbook.store.database import reading
    from opsbook.watch.checklists import find

    with opened(book, env) as service:
        with reading(service.setting.store) as connection:
            found = find(connection, service.system, checklist)
        _show(found, output, ZoneInfo(str(service.system.model.timezone)), service.setting.now())
    return 0


@command.command("tick")
@book_options
@format_option("text", "json")
@click.argument("checklist")
@click.argument("lines", type=click.IntRange(1), nargs=-1, required=True)
@click.option("--note", metavar="TEXT", default="", help="What was seen or done.")
def tick(book: str | None, env: str | None, output: str, checklist: str, lines: tuple[int, ...], note: str) -> int:
    """Tick LINES of CHECKLIST by their numbers. It is recorded who did."""
    from opsbook.store.database import writing
    from opsbook.watch.checklists import tick as tick_line

    with opened(book, env) as service:
        setting, system = service.setting, service.system
        with writing(setting.store) as connection:
            for number in lines:
                now = setting.clock.now()
                found = tick_line(connection, system, service.actor, checklist, number, note, now)
        setting.write_head()
        _show(found, output, ZoneInfo(str(system.model.timezone)), setting.now())
    return 0


@command.command("note")
@book_options
@format_option("text", "json")
@click.argument("checklist")
@click.argument("line", type=click.IntRange(1))
@click.argument("text")
def note(book: str | None, env: str | None, output: str, checklist: str, line: int, text: str) -> int:
    """Write TEXT beside a LINE of CHECKLIST, ticked or not."""
    from opsbook.store.database import writing
    from opsbook.watch.checklists import note as note_line

    with opened(book, env) as service:
        setting, system = service.setting, service.system
        with writing(setting.store) as connection:
            found = note_line(connection, system, service.actor, checklist, line, text, setting.clock.now())
        setting.write_head()
        _show(found, output, ZoneInfo(str(system.model.timezone)), setting.now())
    return 0


@command.command("open")
@book_options
@format_option("text", "json")
@click.argument("name")
@click.option("--for", "subject", metavar="TEXT", default="", help="What it is for, as in incident:INC-7.")
def open_(book: str | None, env: str | None, output: str, name: str, subject: str) -> int:
    """Open the checklist NAME of the book now, whatever its schedule."""
    from opsbook.store.checklists import by_id
    from opsbook.store.database import writing
    from opsbook.watch.acting import must_be
    from opsbook.watch.checklists import Reason, open_list

    with opened(book, env) as service:
        setting, system = service.setting, service.system
        now = setting.clock.now()
        must_be(system, service.actor, "responder", "open a checklist")
        with writing(setting.store) as connection:
            reason = Reason(subject or f"by-hand/{now:%Y-%m-%dT%H:%M:%SZ}", subject or f"by {service.actor.name}")
            found = by_id(connection, open_list(connection, system, name, reason, now))
        setting.write_head()
        assert found is not None
        _show(found, output, ZoneInfo(str(system.model.timezone)), setting.now())
    return 0


def _print(found: list[Opened], zone: ZoneInfo, now: float) -> None:
    from rich.table import Table
    from rich.text import Text

    from opsbook.cli.terminal import screen
    from opsbook.cli.terminal import show as show_on
    from opsbook.printable import one_line

    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for heading in ("checklist", "title", "for", "ticked", "due", ""):
        table.add_column(heading, no_wrap=heading in ("checklist", "ticked", "due"))
    for one in found:
        state = "done" if one.done_at is not None else "late" if one.late(now) else ""
        due = _local(one.due_at, zone) if one.due_at is not None else ""
        subject = one.subject or _local(one.opened_at, zone)
        ticked = f"{one.ticked} of {len(one.items)}"
        words = (Text(one_line(word)) for word in (one.id, one.title, subject, ticked, due))
        table.add_row(*words, Text(state, "bold red" if state == "late" else "green"))
    show_on(screen(), table)


def _show(one: Opened, output: str, zone: ZoneInfo, now: float) -> None:
    from rich.text import Text

    from opsbook.cli.terminal import screen
    from opsbook.printable import one_line
    from opsbook.watch.checklists import as_json

    if output == "json":
        click.echo(json.dumps(as_json(one, now), indent=2, ensure_ascii=False))
        return
    console = screen()
    opened_at = f"opened {_local(one.opened_at, zone)}"
    console.print(
        Text.assemble((one_line(one.title), "bold"), (f"  {one.id}  {one.subject}  {opened_at}".rstrip(), "dim"))
    )
    for n, item in enumerate(one.items, start=1):
        by = f"  {item.by}, {_local(item.at, zone)}" if item.ticked and item.at is not None else ""
        waits = (
            f"  by check {item.check}" if item.check else f"  by a run of {item.procedure}" if item.procedure else ""
        )
        told = by or waits or ("  optional" if item.optional else "")
        box = ("[x] ", "green") if item.ticked else ("[ ] ", "yellow" if not item.optional else "dim")
        console.print(Text.assemble((f"{n:>3} ", "dim"), box, one_line(item.text), (told, "dim")))
        if item.note:
            console.print(Text(f"        {one_line(item.note)}", style="dim"))
    if one.done_at is not None:
        say(f"done {_local(one.done_at, zone)}")


def _local(at: float, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(at, UTC).astimezone(zone):%Y-%m-%d %H:%M}"
