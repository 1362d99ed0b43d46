"""`opsbook serve`: the process that watches around the clock."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opsbook.cli import garbage
from opsbook.cli.engine import opened, say
from opsbook.cli.options import book_options

if TYPE_CHECKING:
    from opsbook.engine.desk import Desk

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
STORE_PATIENCE = 60.0
"""Seconds in which a store that is not there yet may come: after a restart of the machine it comes later."""


@click.command("serve")
@book_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that HTTP is served on.")
@click.option("--port", default=8340, show_default=True, type=click.IntRange(0, 65535), help="Its port; 0: any.")
@click.option("--name", "names", multiple=True, help="Host name under which it is reached; may be repeated.")
@click.option("--certificate", type=FILE, help="Certificate chain, PEM: serve HTTPS.")
@click.option("--key", type=FILE, help="Its key, PEM.")
@click.option("--no-http", is_flag=True, help="Watch, and serve nothing.")
def command(
    book: str | None,
    env: str | None,
    host: str,
    port: int,
    names: tuple[str, ...],
    certificate: Path | None,
    key: Path | None,
    no_http: bool,
) -> int:
    """Run checks at their intervals, tell people, start what is scheduled, and execute runs, until told to end.

    One process serves a store that is a file. Several may serve one PostgreSQL: one of them watches, and another takes
    over when it is gone. SIGTERM and Ctrl-C let the change that is being made finish.

    Exit codes: 0 it was told to end, 2 the book is wrong, 3 opsbook could not go on, 4 another process serves the
    store.
    """
    logging.basicConfig(level=logging.INFO, format="opsbook: %(message)s")
    for name in ("httpx", "httpcore", "alembic", "uvicorn", "apscheduler"):
        logging.getLogger(name).setLevel(logging.WARNING)
    _await_store(book, env)
    with opened(book, env) as service:
        doors = {"host": host, "port": port, "names": names, "certificate": certificate, "key": key}
        _serve(service, None if no_http else doors)
    return 0


def _serve(service: Desk, doors: dict[str, Any] | None) -> None:
    from opsbook.catalogue import import_rooms
    from opsbook.watch.contract import Watch
    from opsbook.watch.serving import serve, the_only_one

    import_rooms()
    garbage.as_usual()

    async def run() -> None:
        setting, system = service.setting, service.system
        async with setting.connections(system) as connections:
            await serve(Watch(setting, system, connections), doors, say)

    with the_only_one(service.setting):
        asyncio.run(run())


def _await_store(book: str | None, env: str | None) -> None:
    """Wait for a PostgreSQL that is still starting. Raises StoreFailed when it does not come."""
    from opsbook.cli.options import read_system
    from opsbook.store.database import StoreFailed, open_store, store_address

    address = store_address(read_system(book, env).folder)
    if address.startswith("sqlite"):
        return
    until = time.monotonic() + STORE_PATIENCE
    while True:
        try:
            open_store(address).dispose()
        except StoreFailed as error:
            if time.monotonic() > until:
                raise
            say(f"waits: {error.message}")
            time.sleep(min(5.0, STORE_PATIENCE))
        else:
            return
