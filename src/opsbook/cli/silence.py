"""`opsbook silence`: alerts that are known and not told for a while."""

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
    from opsbook.store.silences import Silence


@click.group("silence", cls=Verbs, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> int:
    """Silence alerts that are known, list what is silent, end a silence."""
    if ctx.invoked_subcommand is None:
        return int(ctx.invoke(list_, book=None, env=None, output="table", everything=False))
    return 0


@command.command("add")
@book_options
@format_option("text", "json")
@click.option("--check", "checks", multiple=True, metavar="ID", help="A check or a group of checks; may be repeated.")
@click.option("--component", "components", multiple=True, metavar="NAME", help="All checks of it; may be repeated.")
@click.option("--reason", required=True, metavar="TEXT", help="Why, for the one who wonders at night.")
@click.option("--for", "lasts", metavar="TIME", help="How long, as in 2h.")
@click.option("--until", metavar="WHEN", help="Until when, as in 18:00 or 2026-11-22T06:00, by the book's clock.")
@click.option("--start", metavar="WHEN", help="From when (default: now).")
@click.option("--run", metavar="RUN", default="", help="It ends with this run at the latest.")
def add(
    book: str | None, env: str | None, output: str, checks: tuple[str, ...], components: tuple[str, ...], reason: str,
    lasts: str | None, until: str | None, start: str | None, run: str,
) -> int:  # fmt: skip
    """Silence what is known. It always has an end, at most 30 days ahead; longer ones stand in the book."""
    from opsbook.cli.times import moment, span
    from opsbook.engine.views import find
    from opsbook.errors import UsageError
    from opsbook.store.database import writing
    from opsbook.watch.silences import Wanted, as_json, make

    if (lasts is None) == (until is None):
        raise UsageError("a silence has an end", "say --for 2h, or --until 18:00")
    with opened(book, env) as service:
        system, setting, now = service.system, service.setting, service.setting.clock.now()
        zone = ZoneInfo(str(system.model.timezone))
        begin = moment(start, "--start", zone, now) if start else None
        end = moment(until, "--until", zone, now) if until else (begin or now) + span(lasts or "", "--for")
        run = find(setting.store, run).id if run else ""
        wanted = Wanted(checks, components, reason, end, begin, run)
        with writing(setting.store) as connection:
            made = make(connection, system, service.actor, wanted, now)
        setting.write_head()
    if output == "json":
        click.echo(json.dumps(as_json(made, now.timestamp()), indent=2, ensure_ascii=False))
    else:
        say(f"silence {made.id} until {_local(made.until, zone)}: {_covers(made)}")
        click.echo(made.id)
    return 0


@command.command("list")
@book_options
@format_option("table", "json")
@click.option("--all", "everything", is_flag=True, help="Those that are over too.")
def list_(book: str | None, env: str | None, output: str, everything: bool) -> int:
    """List what is silent now or will be: what, until when, why, by whom."""
    from opsbook.store.database import reading
    from opsbook.store.silences import not_over, since
    from opsbook.watch.silences import as_json, here

    with opened(book, env) as service:
        now, zone = service.setting.now(), ZoneInfo(str(service.system.model.timezone))
        with reading(service.setting.store) as connection:
            where = here(service.system)
            found = since(connection, where, 0.0) if everything else not_over(connection, where, now)
    if output == "json":
        click.echo(json.dumps([as_json(one, now) for one in found], indent=2, ensure_ascii=False))
    elif not found:
        click.echo("nothing is silent", err=True)
    else:
        _print(found, zone, now)
    return 0


@command.command("end")
@book_options
@click.argument("silence")
def end(book: str | None, env: str | None, silence: str) -> int:
    """End SILENCE now (its id, or the beginning or end of it). What is still bad is told again."""
    from opsbook.store.database import writing
    from opsbook.watch.silences import finish

    with opened(book, env) as service:
        setting = service.setting
        with writing(setting.store) as connection:
            ended = finish(connection, service.system, service.actor, silence, setting.clock.now())
        setting.write_head()
    say(f"silence {ended.id} is over: {_covers(ended)} is told again where it is bad")
    return 0


def _print(found: list[Silence], zone: ZoneInfo, now: float) -> None:
    from rich.table import Table
    from rich.text import Text

    from opsbook.cli.terminal import screen, show
    from opsbook.printable import one_line

    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for heading in ("silence", "covers", "until", "reason", "by"):
        table.add_column(heading, no_wrap=heading in ("silence", "until"))
    for one in found:
        state = "dim" if one.end <= now else ""
        until = _local(one.end, zone) if one.start <= now else f"{_local(one.start, zone)} to {_local(one.end, zone)}"
        by = one.author if one.origin == "cli" else one.origin.partition("/")[0].replace(":", " ")
        table.add_row(one.id, Text(_covers(one)), until, Text(one_line(one.reason)), Text(one_line(by)), style=state)
    console = screen()
    show(console, table)
    console.print(Text(f"times of {zone.key}", style="dim"))


def _covers(one: Silence) -> str:
    from opsbook.store.silences import EVERYTHING

    return "everything" if EVERYTHING in one.components else ", ".join([*one.components, *one.checks])


def _local(at: float, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(at, UTC).astimezone(zone):%Y-%m-%d %H:%M}"
