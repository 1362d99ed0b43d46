"""What restores share: blocking work on a thread that can be stopped, and the server of a component as a target."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.connectors.backups.postgres_restore import Target
from opsbook.connectors.change import Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.secrets import NotReached, resolve
from opsbook.connectors.postgres import PostgresComponent
from opsbook.connectors.postgres_change import application_name
from opsbook.connectors.postgres_session import plain_url

T = TypeVar("T")
Tell = Callable[[str], None]

SERVICE = "postgres"
"""The database that one is connected to while others are made, renamed and dropped."""


async def on_stoppable_thread(work: Callable[[threading.Event, Tell], T], out: Sink) -> T:
    """What the work returns. Cancelled, it is told to stop, and waited for: it cleans up behind itself."""
    loop, stop = asyncio.get_running_loop(), threading.Event()

    def tell(text: str) -> None:
        loop.call_soon_threadsafe(lambda: asyncio.ensure_future(out.write(text)))

    working = asyncio.ensure_future(asyncio.to_thread(work, stop, tell))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait({working})
        if not working.cancelled():
            working.exception()
        raise


async def target_of(connections: Connections, component: str, key: str) -> tuple[Target, str]:
    """The server of a component as the role that changes things reaches it, and the name of its database.

    Raises NotReached.
    """
    found = connections.system.components.get(component)
    if not isinstance(found, PostgresComponent):
        raise NotReached(f"{component!r} is no PostgreSQL component", "name one of the book")
    # As its connector finds it, which may go through the runtime.
    return await target_at(connections, found.admin or found.dsn, key, connections.of(component).system)


async def target_at(
    connections: Connections, reference: Reference, key: str, system: System | None = None
) -> tuple[Target, str]:
    """The same of an address; `system` resolves it, where it is not that of the connections."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    url = plain_url((await resolve(system or connections.system, {"url": reference.text}))["url"])
    try:
        given = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError:
        raise NotReached(
            f"{reference} is no address of PostgreSQL", "write postgresql://user:password@host/db"
        ) from None
    database = given.get("dbname") or given.get("user") or SERVICE
    return Target({**given, "dbname": SERVICE}, application_name(key)), database
