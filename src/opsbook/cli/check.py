"""`opsbook check`: the morning health check, and what is behind a fault."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from opsbook.cli.options import book_options, format_option, read_system

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from opsbook.book.checks import Check
    from opsbook.book.system import System
    from opsbook.checks.sweep import Sweep

WATCH_SECONDS = 5.0


@click.command("check")
@book_options
@click.option("--only", multiple=True, metavar="ID", help="Only these checks (also a group's name); may be repeated.")
@click.option("--component", multiple=True, metavar="NAME", help="Only checks of these components; may be repeated.")
@format_option("table", "json", "junit", "nagios", "prometheus")
@click.option("--watch", is_flag=True, help="Check again and again until interrupted.")
@click.option("--every", metavar="TIME", help="Rhythm of --watch (default: 5s).")
@click.option("--history", metavar="ID", help="Show what this check said before, as a line of its values.")
@click.option("--all", "everything", is_flag=True, help="Show consequences and details too.")
def command(
    book: str | None,
    env: str | None,
    only: tuple[str, ...],
    component: tuple[str, ...],
    output: str,
    watch: bool,
    every: str | None,
    history: str | None,
    everything: bool,
) -> int:
    """Run all checks at once and say what is wrong, why, and what to do.

    Exit codes: 0 fine or warnings, 1 something is critical or unknown, 2 the book is wrong, 3 opsbook could not check.
    With --format nagios: 0 ok, 1 warning, 2 critical, 3 unknown.
    """
    system = read_system(book, env)
    if history:
        return _show_history(system, history, output)
    checks = _chosen(system, only, component)
    _require_secrets(system, checks)
    if watch:
        return asyncio.run(_watch(system, checks, _seconds(every), everything))
    result = asyncio.run(_once(system, checks))
    return _print(system, result, output, everything)


def _chosen(system: System, only: tuple[str, ...], components: tuple[str, ...]) -> list[Check]:
    from opsbook.book.load import nearest
    from opsbook.errors import UsageError

    groups = {group for check in system.checks for group in check.groups}
    names = {check.id for check in system.checks} | groups
    for word in only:
        if word not in names:
            raise UsageError(f"there is no check or group named {word!r}", nearest(word, names))
    for word in components:
        if word not in system.components:
            raise UsageError(f"there is no component named {word!r}", nearest(word, system.components))
    wanted = [check for check in system.checks if not only or check.id in only or set(only) & set(check.groups)]
    wanted = [check for check in wanted if not components or check.of in components]
    if not wanted:
        raise UsageError("no check is chosen", "add checks to the book, or choose others with --only and --component")
    return wanted


def _require_secrets(system: System, checks: list[Check]) -> None:
    from opsbook.book.load import InvalidBook

    used = {check.of for check in checks}
    for name in tuple(used):
        used.update(system.upstream(name))
    if problems := system.missing_secrets(used, without=("failover",)):
        raise InvalidBook(problems)


def _seconds(every: str | None) -> float:
    from opsbook.book.units import Dimension, parse_quantity
    from opsbook.errors import UsageError

    if every is None:
        return WATCH_SECONDS
    try:
        quantity = parse_quantity(every)
    except ValueError as error:
        raise UsageError(f"--every {every}: {error}", "write a time such as 10s") from error
    if quantity.dimension is not Dimension.DURATION or quantity.value < 0.1:
        raise UsageError(f"--every {every} is not a time of at least 100ms", "write a time such as 10s")
    return quantity.value


async def _once(system: System, checks: list[Check]) -> Sweep:
    from opsbook.checks.sweep import sweep
    from opsbook.clock import SystemClock
    from opsbook.connectors.registry import open_connections

    engine = _store(system)
    async with open_connections(system) as connections:
        result = await sweep(system, checks, connections, SystemClock(), _baselines(engine, system, checks))
    _keep(engine, system, result)
    return result


def _store(system: System) -> Engine | None:
    """The store, or None with a warning: a full disk must not keep anybody from checking."""
    from opsbook.errors import OpsbookError
    from opsbook.store.database import open_store, store_address

    try:
        return open_store(store_address(system.folder))
    except OpsbookError as error:
        click.echo(f"opsbook: history is not kept: {error}", err=True)
        return None


def _baselines(engine: Engine | None, system: System, checks: list[Check]) -> dict[str, float]:
    import time

    from opsbook.errors import OpsbookError
    from opsbook.store.history import baselines

    spans = []
    for check in checks:
        own = [t.baseline for t in (check.warning, check.critical) if t is not None and t.baseline is not None]
        if own:
            spans.append((check.id, max(own)))
    if engine is None or not spans:
        return {}
    try:
        return baselines(engine, system.model.system, system.name, spans, time.time())
    except OpsbookError as error:
        click.echo(f"opsbook: history cannot be read: {error}", err=True)
        return {}


def _keep(engine: Engine | None, system: System, result: Sweep) -> None:
    from opsbook.errors import OpsbookError
    from opsbook.store.history import Point, record

    if engine is None:
        return
    points = [
        Point(
            one.check.id,
            result.at.timestamp(),
            one.state,
            float(one.value) if isinstance(one.value, bool | int | float) else None,
            one.sentence,
        )
        for one in result.results
    ]
    try:
        record(engine, result.system, result.environment, points, system.model.intervals.keep_raw.total_seconds())
    except OpsbookError as error:
        click.echo(f"opsbook: history is not kept: {error}", err=True)


def _print(system: System, result: Sweep, output: str, everything: bool) -> int:
    from opsbook.checks import formats

    if output == "table":
        from opsbook.cli.check_table import print_sweep

        print_sweep(system, result, everything)
    else:
        text = {
            "json": formats.as_json,
            "junit": formats.as_junit,
            "nagios": formats.as_nagios,
            "prometheus": formats.as_prometheus,
        }[output](result)
        click.echo(text)
    if output == "nagios":
        return formats.LEVEL[result.state]
    return int(result.state.bad or any(one.state.bad for one in result.results))


async def _watch(system: System, checks: list[Check], seconds: float, everything: bool) -> int:
    from rich.live import Live

    from opsbook.checks.sweep import sweep
    from opsbook.cli.check_table import sweep_view
    from opsbook.clock import SystemClock
    from opsbook.connectors.registry import open_connections

    engine = _store(system)
    async with open_connections(system) as connections:
        with Live(auto_refresh=False, screen=sys.stdout.isatty(), vertical_overflow="ellipsis") as live:
            while True:
                connections.forget()
                baselines = _baselines(engine, system, checks)
                result = await sweep(system, checks, connections, SystemClock(), baselines)
                _keep(engine, system, result)
                live.update(sweep_view(system, result, everything, live.console.width), refresh=True)
                await asyncio.sleep(max(0.1, seconds - result.seconds))


def _show_history(system: System, check_id: str, output: str) -> int:
    from opsbook.book.load import nearest
    from opsbook.cli.check_table import print_history
    from opsbook.errors import UsageError
    from opsbook.store.database import open_store, store_address
    from opsbook.store.history import history

    check = next((one for one in system.checks if one.id == check_id), None)
    if check is None:
        raise UsageError(f"there is no check named {check_id!r}", nearest(check_id, [one.id for one in system.checks]))
    points = history(open_store(store_address(system.folder)), system.model.system, system.name, check_id)
    if output == "json":
        import json

        rows: list[dict[str, Any]] = [vars(point) for point in points]
        click.echo(json.dumps({"check": check_id, "environment": system.name, "points": rows}, indent=2))
        return 0
    if output != "table":
        raise UsageError(f"--history has no format {output}", "use --format table or json")
    print_history(system, check, points)
    return 0
