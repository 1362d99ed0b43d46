"""`opsbook environment`: the variables that a workload sees. Values are masked: they may be secrets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from opsbook.cli.options import book_options, format_option, read_system

if TYPE_CHECKING:
    from opsbook.book.system import System


@click.command("environment")
@book_options
@click.argument("component")
@format_option("table", "json")
def command(book: str | None, env: str | None, component: str, output: str) -> int:
    """Show the variables of COMPONENT's workload: which are there, and which the book asks for and are not.

    Exit code 1 where one that the book names under `env` is missing or empty.
    """
    import json

    from opsbook.cli.components import workload_of

    system = read_system(book, env)
    found = asyncio.run(_read(system, workload_of(system, component)))
    wanted = system.components[component].env
    missing = [name for name in wanted if not found.get(name)]
    if output == "json":
        told = {name: masked(value) for name, value in sorted(found.items())}
        click.echo(json.dumps({"component": component, "variables": told, "missing": missing}, indent=2))
    else:
        for name, value in sorted(found.items()):
            click.echo(f"{name}={masked(value)}")
        for name in missing:
            click.echo(f"{name} is {'empty' if name in found else 'missing'}", err=True)
    return int(bool(missing))


def masked(value: str) -> str:
    """Whether there is a value, and how long it is; never a part of it."""
    return f"*** ({len(value)} characters)" if value else ""


async def _read(system: System, workload: str) -> dict[str, str]:
    from opsbook.connectors.registry import open_connections

    async with open_connections(system) as connections:
        return await connections.runtime.environment(workload)
