"""One connection for one change of a PostgreSQL database, marked with the key of the change.

Another than the session of observations: it belongs to the role that changes things, and may be cut at any moment.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from opsbook.book.references import Reference
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.secrets import NotReached, masked, resolve
from opsbook.connectors.postgres import PostgresComponent
from opsbook.connectors.postgres_session import plain_url

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

CONNECT_SECONDS = 10.0

TERMINATE = """
SELECT pid, pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE application_name = %(name)s AND pid <> pg_backend_pid()
"""


def application_name(key: str) -> str:
    """What the server shows of a change's session; at most 63 bytes, so the key is hashed."""
    return f"opsbook:{hashlib.sha256(key.encode()).hexdigest()[:40]}"


class Database:
    """The database of a component, for the role that may do what is asked."""

    def __init__(self, connections: Connections, component: str, *, write: bool) -> None:
        found = connections.system.components.get(component)
        if not isinstance(found, PostgresComponent):
            raise NotReached(f"{component!r} is no PostgreSQL component", "name one of the book")
        # One that is inside a cluster is reached as its connector reaches it.
        inside = found.through == "runtime"
        self.component, self.system = component, connections.of(component).system if inside else connections.system
        self.reference: Reference = (found.admin or found.dsn) if write else found.dsn
        self._secrets: list[str] = []

    @asynccontextmanager
    async def session(self, name: str) -> AsyncIterator[psycopg.AsyncConnection[tuple[Any, ...]]]:
        """A connection in autocommit under this application name. Raises NotReached."""
        import psycopg
        from psycopg.conninfo import conninfo_to_dict

        url = plain_url((await resolve(self.system, {"url": self.reference.text}))["url"])
        try:
            self._secrets = [str(conninfo_to_dict(url).get("password") or "")]
            async with asyncio.timeout(CONNECT_SECONDS):
                connection = await psycopg.AsyncConnection.connect(
                    url,
                    autocommit=True,
                    connect_timeout=int(CONNECT_SECONDS),
                    application_name=name,
                    prepare_threshold=None,
                )
        except TimeoutError:
            raise NotReached(
                f"{self.component}: no greeting from the server within {CONNECT_SECONDS:g} s",
                f"is it PostgreSQL that answers at {self.reference}?",
            ) from None
        except psycopg.Error as error:  # the cause may quote the URL
            raise NotReached(
                f"{self.component}: {self.words(error)}",
                f"is the server of {self.reference} running, and are its user and database right?",
            ) from None
        try:
            yield connection
        finally:
            await connection.close()

    def words(self, error: psycopg.Error) -> str:
        """The server's own words, without secrets."""
        diagnosis = error.diag
        text = diagnosis.message_primary or str(error)
        if diagnosis.message_detail:
            text += f" ({diagnosis.message_detail})"
        return "; ".join(line.strip() for line in masked(text, self._secrets).splitlines() if line.strip())

    async def end(self, name: str, seconds: float = 5.0) -> bool:
        """Terminate the sessions of this application name. True when none is left; False where that is not known."""
        import psycopg

        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        try:
            async with self.session("opsbook:end") as connection:
                while True:
                    cursor = await connection.execute(TERMINATE, {"name": name})
                    if not await cursor.fetchall():
                        return True
                    if loop.time() >= deadline:
                        return False
                    await asyncio.sleep(0.05)
        except (psycopg.Error, ChangeFailed, OSError):
            return False


async def cut_with(
    connection: psycopg.AsyncConnection[tuple[Any, ...]], work: Coroutine[Any, Any, T], seconds: float
) -> T:
    """The work within the seconds; else its socket is shut down at once. Raises TimeoutError.

    psycopg answers a cancelled task by asking the server to cancel, and waits for a server that hangs.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        await _cut(connection, task)
        raise
    if not done:
        await _cut(connection, task)
        raise TimeoutError(f"no answer within {seconds:g} s")
    return task.result()


async def _cut(connection: psycopg.AsyncConnection[tuple[Any, ...]], task: asyncio.Future[Any]) -> None:
    with suppress(OSError):
        descriptor = os.dup(connection.fileno())
        with socket.socket(fileno=descriptor) as line:
            line.shutdown(socket.SHUT_RDWR)
    await asyncio.wait({task}, timeout=1)
    if task.done() and not task.cancelled():
        task.exception()
    task.cancel()
