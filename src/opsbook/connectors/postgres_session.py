"""One connection to one PostgreSQL server: read-only, bounded in time, opened late and opened again once.

Every read is a transaction of its own, sent in one round trip (pipeline mode), so that it also works through PgBouncer:
`BEGIN READ ONLY`, settings local to it, the statement, `COMMIT`. Pipeline mode uses the extended protocol, in which a
text can hold only one statement.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.connectors.contract import LoginRefused, ReadFailed
from opsbook.errors import Unreachable

if TYPE_CHECKING:
    import psycopg

Row = tuple[Any, ...]

CONNECT_SECONDS = 5.0
"""A server that needs longer to greet is of no use to whom waits for it."""
SERVER_SHARE = 0.9
"""Share of the time limit after which the server itself ends the statement, so that its answer still arrives."""
GONE = ("57P01", "57P02", "57P03", "57P05", "08000", "08003", "08006")
"""SQLSTATEs of a connection that the server has given up: shutdown, crash, starting, idle time-out, broken."""
STATEMENT_CUT = "57014"

CATALOGUE_PATH = "pg_catalog, pg_temp"
"""opsbook's own statements see only the system's functions, never ones that somebody put into `public`."""

BEGIN = "BEGIN TRANSACTION READ ONLY"
SETTINGS = """
SELECT /* opsbook */ set_config('statement_timeout', %(milliseconds)s, true),
       set_config('TimeZone', 'UTC', true),
       set_config('jit', 'off', true),
       set_config('search_path', coalesce(%(path)s, current_setting('search_path')), true)
"""
TRAITS = """
SELECT /* opsbook */ pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
       current_user::text,
       (SELECT json_object_agg(e.extname, json_build_array(n.nspname, e.extversion))
          FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace)
"""

_DRIVER = re.compile(r"^(postgres(?:ql)?)\+\w+://")
_LITERAL = re.compile(r"(\bpassword\s*=\s*)('[^']*'|(?!\$\{)[^\s&]+)")
_NOISE = re.compile(r"^connection (?:failed|is bad): |\s*Is the server running [^?]*\?")
"""What psycopg says before libpq's own words, and the question that libpq puts after them."""
_REFUSED = re.compile(
    r"authentication failed|auth failed|no password supplied|is not permitted to log in"
    r"|Authentifizierung\b.* fehlgeschlagen|authentification\b.* échouée|autentificación\b.* falló",
    re.IGNORECASE,
)
"""A login that is refused, in the words of a server of some languages: libpq tells no SQLSTATE of it."""
_PASSWORD = re.compile(r"^\w+://[^:/@]*:([^@/]+)@|\bpassword\s*=\s*('[^']*'|\S+)")


@dataclass(frozen=True)
class Server:
    """What a connection found out about its server and its own role."""

    version: int
    """server_version_num: 150004."""
    sees_all: bool
    """Whether the role may see the sessions and statements of others (pg_monitor, pg_read_all_stats, superuser)."""
    role: str
    extensions: Mapping[str, tuple[str, int]]
    """Schema and version (1.10 is 110) by name."""


def plain_url(url: str) -> str:
    """A URL as libpq reads it: SQLAlchemy's driver (`postgresql+asyncpg://`) is left out."""
    return _DRIVER.sub(r"\1://", url.strip())


def shown(url: Reference) -> str:
    """A URL as the book has it, without any password that stands there; also of libpq's `key=value` form."""
    if not re.search(r"://|=|\$\{|^file:|^cmd:", url.text):
        return "the text in the book"
    return _LITERAL.sub(r"\1***", str(url))


def version_number(text: str) -> int:
    """An extension's version as a number that compares: `1.8` is 108, `1.10` is 110."""
    major, _, minor = text.partition(".")
    return int(re.sub(r"\D.*", "", major) or 0) * 100 + int(re.sub(r"\D.*", "", minor) or 0)


class Session:
    """Reads from one server over one connection."""

    def __init__(self, label: str, url: Reference, system: System) -> None:
        self.label, self.url, self.system = label, url, system
        self.shown = shown(url)
        self.suspects: set[Any] = set()
        """Facts that spoiled a merged statement before: they are read alone."""
        self._connection: psycopg.AsyncConnection[Row] | None = None
        self._server: Server | None = None
        self._lock = asyncio.Lock()
        self._secret = ""

    async def read(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        limit: float = 10.0,
        path: str | None = CATALOGUE_PATH,
    ) -> list[Row]:
        """All rows of a statement. `limit` are seconds with everything; `path` None is the role's own search path.

        Raises Unreachable, ReadFailed with the server's words, and TimeoutError.
        """
        deadline = time.monotonic() + limit
        async with asyncio.timeout(limit):
            await self._lock.acquire()
        try:
            return await self._read_or_reconnect(statement, parameters or {}, deadline, path)
        finally:
            self._lock.release()

    async def server(self, limit: float = 10.0, again: bool = False) -> Server:
        """What is known of the server; asked once a connection, or `again`. Raises as `read` does."""
        if self._server is None or again or self._lost():
            ((sees_all, role, extensions),) = await self.read(TRAITS, limit=limit)
            assert self._connection is not None
            known = {name: (schema, version_number(text)) for name, (schema, text) in (extensions or {}).items()}
            self._server = Server(self._connection.info.server_version, sees_all, role, known)
        return self._server

    async def close(self) -> None:
        """Close the connection, whatever state it is in."""
        connection, self._connection, self._server = self._connection, None, None
        if connection is not None:
            await connection.close()

    def _lost(self) -> bool:
        return self._connection is None or bool(self._connection.closed)

    async def _read_or_reconnect(
        self, statement: str, parameters: Mapping[str, Any], deadline: float, path: str | None
    ) -> list[Row]:
        import psycopg

        fresh = self._lost()
        try:
            return await self._attempt(statement, parameters, deadline, path)
        except psycopg.Error as error:
            if not self._lost() and error.sqlstate not in GONE:
                raise self._failed(error) from error
            await self.close()
            if fresh:
                raise self._unreachable(error) from error
        try:
            return await self._attempt(statement, parameters, deadline, path)
        except psycopg.Error as error:
            if not self._lost() and error.sqlstate not in GONE:
                raise self._failed(error) from error
            await self.close()
            raise self._unreachable(error) from error

    async def _attempt(
        self, statement: str, parameters: Mapping[str, Any], deadline: float, path: str | None
    ) -> list[Row]:
        connection = await self._connected(deadline)
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        settings = {"milliseconds": str(max(1, int(left * SERVER_SHARE * 1000))), "path": path}
        task = asyncio.ensure_future(self._run(connection, settings, statement, parameters))
        try:
            done, _ = await asyncio.wait({task}, timeout=left)
        except asyncio.CancelledError:
            await self._cut(connection, task)
            raise
        if not done:
            await self._cut(connection, task)
            raise TimeoutError
        return task.result()

    async def _run(
        self,
        connection: psycopg.AsyncConnection[Row],
        settings: Mapping[str, Any],
        statement: str,
        parameters: Mapping[str, Any],
    ) -> list[Row]:
        return await _transaction(connection, settings, statement, parameters)

    async def _connected(self, deadline: float) -> psycopg.AsyncConnection[Row]:
        import psycopg

        if self._connection is not None and not self._connection.closed:
            return self._connection
        self._server = None
        # In a thread: a reference may be a command that takes its time.
        url = plain_url(await asyncio.to_thread(self.system.resolve, self.url))
        found = _PASSWORD.search(url)
        self._secret = (found[1] or found[2]).strip("'") if found else ""
        limit = min(CONNECT_SECONDS, deadline - time.monotonic())
        try:
            async with asyncio.timeout(limit):
                self._connection = await psycopg.AsyncConnection.connect(
                    url, autocommit=True, connect_timeout=int(CONNECT_SECONDS), application_name="opsbook"
                )
        except TimeoutError:
            raise Unreachable(
                f"{self.label}: no greeting from the server within {limit:.1f} s",
                f"is it PostgreSQL that answers at {self.shown}, and is it overloaded or stopped?",
            ) from None
        except psycopg.ProgrammingError as error:
            # Its words quote the text, which holds a password somewhere.
            reason = str(error).partition('"')[0].strip()
            raise Unreachable(
                f"{self.label}: {self.shown} is no URL that PostgreSQL can read ({reason} …)",
                "write postgresql://user:password@host:port/database",
            ) from None
        except psycopg.Error as error:
            raise self._unreachable(error) from None
        return self._connection

    async def _cut(self, connection: psycopg.AsyncConnection[Row], task: asyncio.Future[list[Row]]) -> None:
        # psycopg answers a cancelled task by asking the server to cancel, which waits for a server that hangs. A socket
        # that is shut down ends the task at once; the server ends the statement by its own time-out.
        with suppress(OSError):
            descriptor = os.dup(connection.fileno())
            with socket.socket(fileno=descriptor) as line:
                line.shutdown(socket.SHUT_RDWR)
        # However late it ends: what nobody asks for is printed by the loop.
        task.add_done_callback(lambda over: over.cancelled() or over.exception())
        await asyncio.wait({task}, timeout=1)
        await self.close()

    def _unreachable(self, error: psycopg.Error) -> Unreachable:
        refused = _REFUSED.search(str(error)) is not None
        return (LoginRefused if refused else Unreachable)(
            f"{self.label}: {self._words(error)}",
            f"is the server of {self.shown} running, and are its user and database right?",
        )

    def _failed(self, error: psycopg.Error) -> Exception:
        if error.sqlstate == STATEMENT_CUT and "timeout" in str(error):
            return TimeoutError()
        return ReadFailed(f"{self.label}: {self._words(error)}")

    def _words(self, error: psycopg.Error) -> str:
        words = error.diag.message_primary or _NOISE.sub("", str(error))
        for secret in {self._secret, unquote(self._secret)} - {""}:
            words = words.replace(secret, "***")
        return "; ".join(line.strip() for line in words.splitlines() if line.strip())


async def _transaction(
    connection: psycopg.AsyncConnection[Row],
    settings: Mapping[str, Any],
    statement: str,
    parameters: Mapping[str, Any],
) -> list[Row]:
    from psycopg import Error

    try:
        async with connection.pipeline():
            await connection.execute(BEGIN)
            await connection.execute(SETTINGS, settings)
            cursor = await connection.execute(statement.encode(), parameters)
            await connection.execute("COMMIT")
        return await cursor.fetchall()
    except Error:
        if not connection.closed:
            with suppress(Error):
                await connection.rollback()
        raise


logging.getLogger("psycopg").setLevel(logging.ERROR)  # its warnings repeat what the errors here say
