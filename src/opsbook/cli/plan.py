"""`opsbook plan`: what a procedure would do now. Changes nothing."""

from __future__ import annotations

import asyncio

import click

from opsbook.cli.engine import parameter_options, planning, values_of
from opsbook.cli.options import book_options, format_option


@click.command("plan")
@parameter_options
@book_options
@format_option("text", "json")
@click.option("--as-commands", is_flag=True, help="Print it as plain commands, for the day when opsbook is down.")
def command(
    name: str,
    words: tuple[str, ...],
    params_file: str | None,
    book: str | None,
    env: str | None,
    output: str,
    as_commands: bool,
) -> int:
    """Show each change that PROCEDURE would make now, its risk, its undo, and what it needs.

    Facts are only read. Exit codes: 0 it can be planned, 2 wrong usage, 3 something is unreachable, 4 refused.
    """
    import json

    from opsbook.cli.plan_view import print_plan
    from opsbook.engine.commands import as_commands as commands_of
    from opsbook.engine.plan_told import plan_as_json
    from opsbook.engine.service import Wish

    with planning(book, env) as service:
        plan = asyncio.run(service.plan(service.procedure(name), words, values_of(params_file)))
        # Nobody has confirmed anything yet: what a person must type is one of its needs.
        needs = service.lacking(plan, Wish())
        holders, locks = service.in_the_way(plan.procedure), service.lock_paths(plan.procedure)
        if as_commands:
            click.echo(commands_of(plan, service.system), nl=False)
        elif output == "json":
            click.echo(json.dumps(plan_as_json(plan, needs, holders, locks), indent=2, ensure_ascii=False))
        else:
            print_plan(plan, needs, holders, locks)
    return 0
