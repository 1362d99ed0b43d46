"""`opsbook oncall`: who answers now and next, and a page for practice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from opsbook.cli.engine import opened, say
from opsbook.cli.group import Verbs
from opsbook.cli.options import book_options, format_option, read_system

if TYPE_CHECKING:
    from opsbook.engine.desk import Desk
    from opsbook.engine.setting import Setting
    from opsbook.watch.practice import Measured


@click.group("oncall", cls=Verbs, invoke_without_command=True)
@book_options
@format_option("text", "json")
@click.pass_context
def command(ctx: click.Context, book: str | None, env: str | None, output: str) -> int:
    """Who is on call now, in every rotation of the book.

    Exit codes: 0 somebody is everywhere, 1 somewhere nobody is.
    """
    if ctx.invoked_subcommand is not None:
        return 0
    return _who(book, env, output, None)


@command.command("who")
@book_options
@format_option("text", "json")
@click.option("--at", "at", type=click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]), help="Then, in the book's zone.")
def who(book: str | None, env: str | None, output: str, at: datetime | None) -> int:
    """Who is on call now, or at another moment; and whom an incident would page, level by level."""
    return _who(book, env, output, at)


def _who(book: str | None, env: str | None, output: str, at: datetime | None) -> int:
    from zoneinfo import ZoneInfo

    from opsbook.book.rotations import on_call
    from opsbook.clock import SystemClock
    from opsbook.watch.page_path import duties_as_json, page_path

    system = read_system(book, env)
    zone = ZoneInfo(system.model.timezone)
    moment = at.replace(tzinfo=zone) if at else SystemClock().now()
    duties = [on_call(system.model, name, moment) for name in system.model.oncall]
    path = page_path(system, moment)
    if output == "json":
        click.echo(json.dumps(duties_as_json(system, moment), indent=2, ensure_ascii=False))
        return 1 if any(not one.who for one in duties) else 0
    from rich.text import Text

    from opsbook.cli.terminal import hang, screen
    from opsbook.printable import one_line

    console = screen()
    console.print(Text(f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M} {system.model.timezone}", style="dim"))
    if not duties:
        console.print("the book has no rotations (`oncall`)")
    for one in duties:
        contact = system.model.contacts.get(one.who)
        why = {"turn": "", "override": "  takes this turn over", "backup": "  as backup", "nobody": ""}[one.why]
        name = Text(one.who or "nobody", style="bold" if one.who else "bold red")
        more = one_line("  ".join(part for part in (contact.name, contact.phone) if part)) if contact else ""
        console.print(
            Text.assemble((f"  {one.rotation:16} ", "dim"), name, f"  {more}" if more else "", (why, "yellow"))
        )
    if path:
        console.print()
        console.print(Text("an incident pages", style="dim"))
        for level in path:
            ways = ", ".join(level["by"]) or "nobody: no address now"
            after = f"after {level['within']}" if level["seconds"] else "at once"
            words = Text(f"  {after:12} {one_line(level['level']):18} {one_line(level['who']):18} ")
            hang(console, words, one_line(ways), style="" if level["by"] else "bold red")
    return 1 if any(not one.who for one in duties) else 0


@command.command("next")
@click.argument("rotation", metavar="[ROTATION]", default="")
@click.option("--days", type=click.IntRange(1, 366), default=28, show_default=True, help="How far ahead.")
@book_options
@format_option("text", "json")
def next_(rotation: str, days: int, book: str | None, env: str | None, output: str) -> int:
    """The turns to come, and the times in which nobody is on call. Exit code 1 where there are such."""
    from zoneinfo import ZoneInfo

    from opsbook.book.rotations import stretches
    from opsbook.book.words import nearest
    from opsbook.clock import SystemClock
    from opsbook.errors import UsageError

    system = read_system(book, env)
    if rotation and rotation not in system.model.oncall:
        raise UsageError(f"there is no rotation {rotation!r}", nearest(rotation, system.model.oncall))
    now = SystemClock().now()
    names = [rotation] if rotation else [*system.model.oncall]
    found = {name: stretches(system.model, name, now, now + timedelta(days=days)) for name in names}
    empty = any(not one.duty.who for some in found.values() for one in some)
    if output == "json":
        told = {
            name: [
                {
                    "who": one.duty.who or None,
                    "why": one.duty.why,
                    "start": one.start.timestamp(),
                    "end": one.end.timestamp(),
                }
                for one in some
            ]
            for name, some in found.items()
        }
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return 1 if empty else 0
    from rich.text import Text

    from opsbook.cli.terminal import screen

    console, zone = screen(), ZoneInfo(system.model.timezone)
    if not found:
        console.print("the book has no rotations (`oncall`)")
    for name, some in found.items():
        console.print(Text(name, style="bold"))
        for one in some:
            start, end = one.start.astimezone(zone), one.end.astimezone(zone)
            why = "" if one.duty.why in ("turn", "nobody") else f"  {one.duty.why}"
            who = Text(one.duty.who or "nobody", style="" if one.duty.who else "bold red")
            console.print(
                Text.assemble((f"  {start:%a %m-%d %H:%M} – {end:%a %m-%d %H:%M}  ", "dim"), who, (why, "yellow"))
            )
    return 1 if empty else 0


@command.command("test")
@click.argument("target", metavar="[TARGET]", default="")
@click.option("--wait", metavar="DURATION", default="15m", show_default=True, help="How long an answer is waited for.")
@book_options
@format_option("text", "json")
def test(target: str, wait: str, book: str | None, env: str | None, output: str) -> int:
    """Page TARGET for practice, and measure how long the message and the answer take. Nothing is wrong.

    TARGET is a channel, rotation or contact; the first level of the path where it is left out. It is sent from here
    where `opsbook serve` does not run. Exit codes: 0 delivered and answered, 1 not.
    """
    from opsbook.book.units import Dimension, parse_quantity
    from opsbook.errors import UsageError

    try:
        quantity = parse_quantity(wait)
    except ValueError as error:
        raise UsageError(str(error), "write a duration such as 5m") from error
    if quantity.dimension is not Dimension.DURATION:
        raise UsageError(f"{wait!r} is no duration", "write one such as 5m")
    with opened(book, env) as service:
        found = asyncio.run(_practise(service, target, quantity.value))
    if output == "json":
        told = {
            "incident": found.incident.id,
            "delivered": [{"channel": channel, "seconds": after} for channel, after in found.delivered],
            "failed": [{"channel": channel, "error": error} for channel, error in found.failed],
            "answered_after": found.answered,
            "answered_by": found.incident.acknowledged_by or None,
        }
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        click.echo(found.told)
    return 0 if found.delivered and found.answered is not None else 1


async def _practise(service: Desk, target: str, seconds: float) -> Measured:
    from opsbook.store.database import reading
    from opsbook.watch import incident_acts, practice
    from opsbook.watch.contract import Watch
    from opsbook.watch.delivery import Delivery
    from opsbook.watch.incident_facts import OPSBOOK, where_of

    setting, system = service.setting, service.system
    setting.check_audit()
    begun: list[str] = []
    now = setting.clock.now()
    setting.write([lambda c: begun.append(practice.begin(c, system, service.actor, target, now).id)])
    setting.write_head()
    say(f"{begun[0]}: a page for practice is on its way; answer it with: opsbook incident ack {begun[0]}")
    until = setting.clock.monotonic() + seconds
    async with setting.connections(system) as connections:
        delivery = Delivery(Watch(setting, system, connections))
        while True:
            if _alone(setting, where_of(system)):
                await delivery.tick(setting.clock.now())
                await delivery.settled()
            with reading(setting.store) as connection:
                found = practice.measured(connection, begun[0])
            if found.answered is not None or setting.clock.monotonic() >= until:
                break
            await asyncio.sleep(0.5)
    reason = "the practice is over" if found.answered is not None else f"nobody answered within {seconds:g} s"
    end = setting.clock.now()

    def close(connection: Any) -> None:
        one = incident_acts.find(connection, system, begun[0])
        if not one.over:
            incident_acts.finish_practice(connection, one, OPSBOOK, reason, end)

    setting.write([close])
    setting.write_head()
    return found


def _alone(setting: Setting, where: Mapping[str, str]) -> bool:
    """Whether no `opsbook serve` sends what is in the outbox. Two that send claim each message: it goes out once."""
    from opsbook.engine.owner_lock import OwnerLock
    from opsbook.store import leases
    from opsbook.store.database import reading

    if setting.embedded:
        return OwnerLock(setting.folder).free()
    with reading(setting.store) as connection:
        return leases.held(connection, "watch/{system}/{environment}".format(**where), setting.now()) is None
