"""`opsbook worker`: a process that executes runs, beside any number of others."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import click

from opsbook.cli import garbage
from opsbook.cli.engine import say

if TYPE_CHECKING:
    from opsbook.engine.setting import Setting

SHORTEST_LEASE = 3.0
"""Seconds. A store that answers slowly for a moment must not cost a worker its lease."""


@click.command("worker")
@click.option("--book", metavar="PATH", help="The book.yaml or its folder (default: found upwards from here).")
@click.option(
    "--lease", metavar="DURATION", default="30s", show_default=True,
    help="How long it may be silent before others go on with its runs.",
)  # fmt: skip
def command(book: str | None, lease: str) -> int:
    """Execute runs of the book's system, in all its environments, until it is told to leave.

    With OPSBOOK_STORE=postgresql://… any number of workers share them, on any number of hosts. A signal (SIGTERM,
    SIGINT) lets every run finish the change that it is in, and the others go on with them; a second one leaves at once.
    """
    from opsbook.book.system import in_environment
    from opsbook.book.units import Dimension, parse_quantity
    from opsbook.cli.options import read_book
    from opsbook.engine.setting import open_setting
    from opsbook.errors import UsageError
    from opsbook.recovery.backups import backup_ages
    from opsbook.recovery.packaged import packaged_procedures

    try:
        quantity = parse_quantity(lease)
    except ValueError as error:
        raise UsageError(f"--lease {lease}: {error}", "write a duration such as 30s") from error
    if quantity.dimension is not Dimension.DURATION or quantity.value < SHORTEST_LEASE:
        raise UsageError(f"--lease {lease} is too short, or no duration", f"write {SHORTEST_LEASE:g}s or more")
    found = read_book(book)
    setting = open_setting(
        in_environment(found, next(iter(found.model.environments))), packaged_procedures, backup_ages
    )
    try:
        asyncio.run(_work(setting, quantity.value))
    finally:
        setting.close()
    return 0


async def _work(setting: Setting, lease: float) -> None:
    from opsbook.catalogue import import_rooms
    from opsbook.engine.executor import executing

    import_rooms()
    garbage.as_usual()
    leaving = asyncio.Event()

    def leave() -> None:
        if leaving.is_set():
            raise KeyboardInterrupt
        leaving.set()

    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, leave)
    async with executing(setting, say, lease) as executor:
        if await executor.settled():
            say(f"executes runs of {setting.system_name}")
        else:
            say("another process executes the runs of this store; this one waits until it is gone")
        await leaving.wait()
        say("leaves after the changes that are being made; once more: at once")
        await executor.drain()
