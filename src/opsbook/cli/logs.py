"""`opsbook logs`: what the instances of a workload wrote."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from opsbook.cli.options import book_options, format_option, read_system

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from opsbook.book.system import System
    from opsbook.connectors.runtimes.contract import LogLine, LogQuery


@click.command("logs")
@book_options
@click.argument("component")
@click.option("--tail", type=click.IntRange(0), help="The last lines (default: 100; all with --since or --errors).")
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines until interrupted.")
@click.option("--since", metavar="TIME", help="Only lines since then: a time ago, as in 15m, or a moment.")
@click.option("--contains", metavar="TEXT", default="", help="Only lines with this text.")
@click.option("--previous", is_flag=True, help="Of the run of each container before this one (Kubernetes).")
@click.option("--errors", is_flag=True, help="Count the lines that tell an error, by its type.")
@click.option("--to", "target", type=click.Path(dir_okay=False, writable=True), help="Write the lines into this file.")
@format_option("text", "json")
def command(
    book: str | None,
    env: str | None,
    component: str,
    tail: int | None,
    follow: bool,
    since: str | None,
    contains: str,
    previous: bool,
    errors: bool,
    target: str | None,
    output: str,
) -> int:
    """Show the logs of COMPONENT, of all its instances in the order of time."""
    from opsbook.cli.components import workload_of
    from opsbook.connectors.runtimes.contract import LogQuery
    from opsbook.errors import UsageError

    if errors and follow:
        raise UsageError("--errors counts what is there, and --follow has no end", "leave one of them out")
    system = read_system(book, env)
    workload = workload_of(system, component)
    lines = tail if tail is not None else None if since or errors or target else 100
    query = LogQuery(lines, _moment(since), follow, contains, previous)
    if errors:
        return asyncio.run(_count(system, component, workload, query, output))
    return asyncio.run(_show(system, workload, query, target, output))


def _moment(written: str | None) -> datetime | None:
    from datetime import UTC, datetime

    from opsbook.book.units import Dimension, parse_quantity
    from opsbook.errors import UsageError

    if written is None:
        return None
    try:
        moment = datetime.fromisoformat(written)
        return moment if moment.tzinfo else moment.astimezone()
    except ValueError:
        pass
    try:
        quantity = parse_quantity(written)
    except ValueError as error:
        raise UsageError(f"--since {written}: {error}", "write a time such as 15m, or 2026-01-31T10:00") from error
    if quantity.dimension is not Dimension.DURATION:
        raise UsageError(f"--since {written} is no time", "write a time such as 15m, or 2026-01-31T10:00")
    return datetime.fromtimestamp(datetime.now(UTC).timestamp() - quantity.value, UTC)


async def _lines(system: System, workload: str, query: LogQuery) -> AsyncIterator[LogLine]:
    from opsbook.connectors.registry import open_connections

    async with open_connections(system) as connections:
        async for line in connections.runtime.logs(workload, query):
            yield line


async def _show(system: System, workload: str, query: LogQuery, target: str | None, output: str) -> int:
    from opsbook.engine.output import Mask
    from opsbook.engine.setting import secrets_of

    mask, count = Mask(secrets_of(system)), 0
    with click.open_file(target or "-", "w", encoding="utf-8") as file:
        async for line in _lines(system, workload, query):
            if line.missing:
                _tell(line)
                continue
            count += 1
            click.echo(_text(line, mask.whole(line.text), output), file=file)
    if target:
        click.echo(f"{count:,} lines in {target}", err=True)
    return 0


def _tell(line: LogLine) -> None:
    """That lines are missing, beside those that are there."""
    click.echo(f"{line.instance}: {line.text}", err=True)


def _text(line: LogLine, text: str, output: str) -> str:
    import json

    if output == "json":
        at = line.at.isoformat() if line.at else None
        return json.dumps({"instance": line.instance, "at": at, "text": text}, ensure_ascii=False)
    return f"{line.instance}: {text}"


async def _count(system: System, component: str, workload: str, query: LogQuery, output: str) -> int:
    import json

    from opsbook.observations.workload_logs import of_lines

    lines = [line async for line in _lines(system, workload, query)]
    for line in lines:
        if line.missing:
            _tell(line)
    fact = of_lines(lines)
    by_type = fact.detail["by_type"]
    if output == "json":
        click.echo(json.dumps({"component": component, "errors": by_type}, ensure_ascii=False))
        return 0
    if not by_type:
        click.echo(f"no errors in the logs of {component}")
    for kind, number in by_type.items():
        click.echo(f"{number:>8,}  {kind}")
    return 0
