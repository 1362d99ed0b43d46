"""`opsbook window`: planned maintenance, and windows that a person opens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from opsbook.cli.engine import opened, say
from opsbook.cli.group import Verbs
from opsbook.cli.options import book_options, format_option

if TYPE_CHECKING:
    from datetime import datetime

    from opsbook.watch.window_calendar import Coming

STYLE = {"open": "bold yellow", "overrun": "bold red", "noticed": "", "planned": "dim"}


@click.group("window", cls=Verbs, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> int:
    """Show maintenance windows; open, extend or close one; write a calendar of them."""
    if ctx.invoked_subcommand is None:
        return int(ctx.invoke(list_, book=None, env=None, output="table", ahead="90d"))
    return 0


@command.command("list")
@book_options
@format_option("table", "json", "ical")
@click.option("--ahead", metavar="TIME", default="90d", show_default=True, help="How far to look.")
def list_(book: str | None, env: str | None, output: str, ahead: str) -> int:
    """List the windows that are open and those that come."""
    system, found, now = _coming(book, env, ahead)
    if output == "ical":
        _calendar(system, found, now)
    else:
        _show(found, output)
    return 0


@command.command("next")
@book_options
@format_option("table", "json")
def next_(book: str | None, env: str | None, output: str) -> int:
    """Show the next window of each kind, within a year."""
    _, found, _ = _coming(book, env, "366d")
    first: dict[str, Coming] = {}
    for one in found:
        if one.state in ("noticed", "planned"):
            first.setdefault(one.window, one)
    _show(list(first.values()), output)
    return 0


@command.command("ical")
@book_options
@click.option("--ahead", metavar="TIME", default="366d", show_default=True, help="How far to look.")
def ical(book: str | None, env: str | None, ahead: str) -> int:
    """Print the windows to come as a calendar (RFC 5545). Written again, the same window has the same UID."""
    _calendar(*_coming(book, env, ahead))
    return 0


@command.command("open")
@book_options
@format_option("text", "json")
@click.argument("window", default="by-hand")
@click.option("--for", "lasts", metavar="TIME", help="How long, at most 7d (default: as the book says of WINDOW).")
@click.option("--component", "components", multiple=True, metavar="NAME", help="What is affected; may be repeated.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; people read it.")
def open_(
    book: str | None, env: str | None, output: str, window: str, lasts: str | None, components: tuple[str, ...],
    reason: str,
) -> int:  # fmt: skip
    """Open WINDOW now: one of the book, or one of any name. Alerts of what it affects are silent until it ends.

    Without --component all of the system is affected. Policies that ask for a window take it for one.
    """
    from opsbook.cli.times import span
    from opsbook.watch.window_acts import Wanted, open_now

    wanted = Wanted(window, span(lasts, "--for") if lasts else None, reason, components)
    told = _change(book, env, lambda service, connection, now: open_now(
        connection, service.system, service.actor, wanted, now
    ))  # fmt: skip
    return _tell(told, output, f"the window {window} is open until")


@command.command("extend")
@book_options
@format_option("text", "json")
@click.argument("window", default="")
@click.option("--by", metavar="TIME", required=True, help="How much longer, as in 1h.")
def extend(book: str | None, env: str | None, output: str, window: str, by: str) -> int:
    """Let the open WINDOW last longer, and its silence with it."""
    from opsbook.cli.times import span
    from opsbook.watch.window_acts import extend as extend_window

    length = span(by, "--by")
    told = _change(book, env, lambda service, connection, now: extend_window(
        connection, service.system, service.actor, window, length, now
    ))  # fmt: skip
    return _tell(told, output, f"the window {told['window']} is open until")


@command.command("close")
@book_options
@format_option("text", "json")
@click.argument("window", default="")
@click.option("--note", metavar="TEXT", default="", help="What was done; people read it.")
def close(book: str | None, env: str | None, output: str, window: str, note: str) -> int:
    """Close the open WINDOW now. Its silence ends: what is still bad is told."""
    from opsbook.watch.window_acts import finish

    told = _change(book, env, lambda service, connection, now: finish(
        connection, service.system, service.actor, window, now, note
    ))  # fmt: skip
    return _tell(told, output, f"the window {told['window']} is closed; it was to end")


def _coming(book: str | None, env: str | None, ahead: str) -> tuple[Any, list[Coming], datetime]:
    from opsbook.cli.times import span
    from opsbook.store.database import reading
    from opsbook.watch.window_calendar import coming

    with opened(book, env) as service:
        now = service.setting.clock.now()
        with reading(service.setting.store) as connection:
            found = coming(connection, service.system, now, span(ahead, "--ahead"))
    return service.system, found, now


def _change(book: str | None, env: str | None, do: Any) -> dict[str, Any]:
    from datetime import UTC, datetime

    from opsbook.store.database import writing

    with opened(book, env) as service:
        setting, zone = service.setting, ZoneInfo(str(service.system.model.timezone))
        with writing(setting.store) as connection:
            row = do(service, connection, setting.clock.now())
        setting.write_head()
    until = datetime.fromtimestamp(row.until, UTC).astimezone(zone)
    return {"window": row.window, "state": row.state, "until": until.isoformat(), "components": list(row.components)}


def _tell(told: dict[str, Any], output: str, words: str) -> int:
    if output == "json":
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        say(f"{words} {told['until'][:16].replace('T', ' ')}")
    return 0


def _calendar(system: Any, found: list[Coming], now: datetime) -> None:
    from opsbook.watch.window_calendar import as_ical

    click.echo(as_ical(system, found, now), nl=False)


def _show(found: list[Coming], output: str) -> None:
    if output == "json":
        click.echo(json.dumps([one.as_json() for one in found], indent=2, ensure_ascii=False))
        return
    if not found:
        click.echo("no window is open, and none comes in this time", err=True)
        return
    from rich.table import Table
    from rich.text import Text

    from opsbook.cli.terminal import screen, show
    from opsbook.printable import one_line

    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for heading in ("window", "when", "affects", ""):
        table.add_column(heading, no_wrap=heading == "window")
    for one in found:
        state = "" if one.state == "planned" else one.state
        note = one_line("; ".join(part for part in (state, one.note) if part))
        affects = ", ".join(one.components) or "everything"
        table.add_row(one.window, one.when, Text(affects), Text(note, STYLE.get(one.state, "")))
    show(screen(), table)
