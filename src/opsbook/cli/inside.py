"""`opsbook inside`: what a workload reaches, seen from within it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from opsbook.cli.options import book_options, format_option, read_system

if TYPE_CHECKING:
    from opsbook.book.system import System
    from opsbook.connectors.inside.reach import Row

LONGEST = 60


@click.command("inside")
@book_options
@click.argument("component")
@click.argument("targets", nargs=-1)
@click.option("--every", is_flag=True, help="Look from every instance; else from one, the least healthy.")
@click.option("--within", metavar="TIME", default="3s", show_default=True, help="How long one answer may take.")
@format_option("table", "json")
def command(
    book: str | None, env: str | None, component: str, targets: tuple[str, ...], every: bool, within: str, output: str
) -> int:
    """Show what the workload of COMPONENT reaches, asked from within it and not from this machine.

    Asks for everything that the component depends on, or for TARGETS: names, HOST:PORT, http:// addresses, components.
    On Kubernetes it also says what the network policies allow. Exit code 1 where something is not reached.
    """
    import json

    from opsbook.cli.components import workload_of

    system = read_system(book, env)
    workload_of(system, component)
    rows, policies = asyncio.run(_read(system, component, targets, every, within))
    if output == "json":
        click.echo(json.dumps({"component": component, "seen": rows, "policies": policies}, indent=2))
    else:
        _show(component, rows, policies)
    return int(any(one["ok"] is False for one in rows))


async def _read(
    system: System, component: str, targets: tuple[str, ...], every: bool, within: str
) -> tuple[list[Row], dict[str, str]]:
    from opsbook.connectors.inside.reach import policies_told, reached
    from opsbook.connectors.inside.targets import needs
    from opsbook.connectors.registry import open_connections

    async with open_connections(system) as connections:
        connector = connections.of(component)
        rows = await reached(connector, targets or needs(system, component), _seconds(within), every=every)
        return rows, await policies_told(connector, rows)


def _seconds(within: str) -> float:
    from opsbook.book.units import Dimension, parse_quantity
    from opsbook.errors import UsageError

    try:
        quantity = parse_quantity(within)
    except ValueError as error:
        raise UsageError(f"--within {within}: {error}", "write a time such as 3s") from error
    if quantity.dimension is not Dimension.DURATION or not 0 < quantity.value <= LONGEST:
        raise UsageError(f"--within {within} is no time up to {LONGEST} s", "write a time such as 3s")
    return quantity.value


def _show(component: str, rows: list[Row], policies: dict[str, str]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from opsbook.cli.terminal import screen, show

    if not rows:
        click.echo(f"{component} depends on nothing that the book names; say what to ask for")
        return
    marks = {True: "✔", False: "✘", None: "?"}
    table = Table("", "from", "to", "asked", "ms", "says", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for one in rows:
        took = f"{one['seconds'] * 1000:.0f}" if one["ok"] is not None else ""
        words = (one["instance"], one["to"], one["asked"], took, one["says"])
        table.add_row(marks[one["ok"]], *map(escape, words))
    show(screen(), table)
    for place, sentence in policies.items():
        click.echo(f"policies, {place}: {sentence}")
