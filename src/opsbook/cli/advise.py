"""`opsbook advise`: what machine and load say of settings, sizes and numbers, each with its figure and its source."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import click

from opsbook.cli.engine import opened
from opsbook.cli.options import book_options, format_option

if TYPE_CHECKING:
    from opsbook.engine.desk import Desk
    from opsbook.upkeep.advice.contract import Advised
    from opsbook.upkeep.advice.everything import About


@click.command("advise")
@book_options
@click.argument("component", required=False)
@click.option(
    "--about",
    type=click.Choice(["settings", "resources", "autoscaler"]),
    multiple=True,
    help="Settings of servers, requests and limits, why an autoscaler is where it is (default: all; may be repeated).",
)
@click.option("--memory", metavar="SIZE", help="Memory of the server's machine, where opsbook cannot see it: 32GiB.")
@click.option("--cores", type=float, metavar="N", help="Cores of that machine.")
@click.option(
    "--enough",
    metavar="TIME",
    help="How long load must have been measured to be judged (default: 1h for servers, 1d for resources).",
)
@format_option("text", "json")
def command(
    book: str | None, env: str | None, component: str | None, about: tuple[About, ...], memory: str | None,
    cores: float | None, enough: str | None, output: str,
) -> int:  # fmt: skip
    """Advise on COMPONENT, or on all: value now, value advised, the figure measured, the documentation, the risk.

    Nothing is changed; each piece of advice that opsbook can apply comes with the run that applies it, as a plan with
    undo. Exit codes: 0 nothing is advised, 1 something is, 2 wrong usage.
    """
    from opsbook.cli.components import known
    from opsbook.upkeep.advice.everything import ABOUT, Question
    from opsbook.upkeep.advice.machines import said

    with opened(book, env) as service:
        names = [known(service.system, component)] if component else list(service.system.components)
        machine = said(_quantity(memory, "size", "--memory"), cores)
        question = Question(names, about or ABOUT, machine, _quantity(enough, "duration", "--enough"))
        found = asyncio.run(_advised(service, question))
    if output == "json":
        click.echo(json.dumps([{**one.as_json(), "run": run_of(one)} for one in found], indent=2, ensure_ascii=False))
    else:
        _print(found, every=component is None)
    return int(any(one.advice for one in found))


async def _advised(service: Desk, question: Any) -> list[Advised]:
    from opsbook.upkeep.advice.everything import advised
    from opsbook.upkeep.advice.observed import History

    history = History(service.setting.store, service.system, service.setting.clock.now().timestamp())
    async with service.setting.connections(service.system) as connections:
        return await advised(connections, history, question)


def _quantity(text: str | None, dimension: str, option: str) -> float | None:
    from opsbook.book.units import parse_quantity
    from opsbook.errors import UsageError

    if text is None:
        return None
    try:
        found = parse_quantity(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}", "write 32GiB, or 1h") from error
    if found.dimension != dimension:
        raise UsageError(f"{option} takes a {dimension}, not {text!r}", "write 32GiB, or 1h")
    return found.value


def run_of(one: Advised) -> str:
    """The command that applies what can be applied; empty where nothing can."""
    applied = [each for each in one.advice if each.applied]
    if not applied:
        return ""
    if one.of == "resources":
        return " ".join([f"opsbook run resize-{one.component}", *(f"{each.name}={each.advised}" for each in applied)])
    said = ", ".join(f"{each.name}={each.advised}" for each in applied)
    restart = " restart=true" if any(each.needs == "restart" for each in applied) else ""
    # Names of tables are whatever their owner wrote: the line is for a shell.
    quoted = said.replace("'", "'\"'\"'")
    return f"opsbook run tune-{one.component} settings='{quoted}'{restart}"


def _print(found: list[Advised], *, every: bool) -> None:
    from opsbook.cli.terminal import screen

    console = screen()
    blank = [one.component for one in found if every and one.of == "resources" and len(one.untold) > 1]
    shown = [one for one in found if one.advice or not every or one.of == "autoscaler" or one.untold]
    shown = [one for one in shown if not (one.component in blank and one.of == "resources")]
    if not shown:
        console.print("nothing is advised")
    for one in shown:
        console.print(f"[bold]{one.component}[/bold] · {one.of}", highlight=False)
        for sentence in one.told:
            console.print(f"  {sentence}", style="dim", highlight=False, markup=False)
        for each in one.advice:
            console.print(f"  {each.name}: {each.now} → {each.advised}", style="yellow", highlight=False, markup=False)
            console.print(f"    why: {each.why}", highlight=False, markup=False)
            console.print(f"    needs: {NEEDS[each.needs]}; risk: {each.risk}", highlight=False, markup=False)
            console.print(f"    {each.source}", style="dim", highlight=False, markup=False)
        for sentence in one.untold:
            console.print(f"  not told: {sentence}", style="dim", highlight=False, markup=False)
        if run := run_of(one):
            console.print(f"  apply it: {run}", highlight=False, markup=False, soft_wrap=True)
    if blank:
        told = "what these use is stored too little to size them (checks of `workload.cores` and `workload.memory`)"
        console.print(f"{told}: {', '.join(blank)}", style="dim", highlight=False, markup=False)


NEEDS = {
    "reload": "the server reads it anew by itself",
    "restart": "a restart of the server",
    "deploy": "its instances are replaced",
    "book": "a line in the book",
}
