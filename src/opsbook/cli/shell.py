"""`opsbook shell`: a person's own hands on a component, read-only unless asked, recorded in the audit chain."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import click

from opsbook.cli.engine import opened
from opsbook.cli.options import book_options

if TYPE_CHECKING:
    from opsbook.connectors.shells import Shell
    from opsbook.engine.desk import Desk


@click.command("shell", context_settings={"ignore_unknown_options": True})
@book_options
@click.option(
    "--write", is_flag=True, help="Let it change things: with the component's `admin` role, where it has one."
)
@click.option("--break-glass", metavar="REASON", default="", help="Pass approvals and windows, if policy lets you.")
@click.argument("component")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENT]...")
def command(
    book: str | None, env: str | None, write: bool, break_glass: str, component: str, words: tuple[str, ...]
) -> int:
    """Open psql, redis-cli, or a shell in the place of a workload, on COMPONENT.

    What stands after -- goes to psql; to redis-cli it is one command; in a workload it is run in place of the shell.
    Without --write psql's transactions are read-only, and redis-cli takes one command that reads. Who opened it, when,
    on what, and how it ended is in `opsbook audit log`.
    """
    from opsbook.cli.components import known

    with opened(book, env) as service:
        return asyncio.run(_open(service, known(service.system, component), words, write, break_glass))


async def _open(service: Desk, component: str, words: tuple[str, ...], write: bool, break_glass: str) -> int:
    from pathlib import Path

    from opsbook.connectors.registry import open_connections
    from opsbook.connectors.shells import shell
    from opsbook.engine.handwork import Handwork, allowed, recorded

    system, setting = service.system, service.setting
    intended = Handwork(component, "", words, write, break_glass)
    allowed(setting, system, service.actor, intended, confirmed=_confirmed(service, write))
    async with open_connections(system) as connections, shell(connections, component, words, write=write) as found:
        work = Handwork(component, Path(found.argv[0]).name, words, write, break_glass)
        if found.note:
            click.echo(f"{component}: {found.note}", err=True)
        with recorded(setting, system, service.actor, work) as ended:
            code = _run(found)
            ended(code)
    return code


def _confirmed(service: Desk, write: bool) -> bool:
    """The name of the environment, typed, where the policy wants it."""
    import sys

    from opsbook.book.catalogue import Risk
    from opsbook.engine.policy import rule_of

    if not write or not rule_of(service.system.policy, Risk.DESTRUCTIVE).confirm or not sys.stdin.isatty():
        return False
    return bool(click.prompt(f"type {service.system.name} to confirm", err=True) == service.system.name)


def _run(found: Shell) -> int:
    """Hand the terminal over. Ctrl-C is the program's own."""
    from opsbook.connectors.shells import identity
    from opsbook.errors import Unreachable

    options: dict[str, Any] = identity(found)
    # A handler, not SIG_IGN: that would be inherited.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        code = subprocess.run(found.argv, env=dict(found.environment), cwd=found.directory, **options).returncode
        return 128 - code if code < 0 else code
    except OSError as error:
        raise Unreachable(f"{found.argv[0]}: {error.strerror}", "is it installed there?") from error
    finally:
        signal.signal(signal.SIGINT, before)
