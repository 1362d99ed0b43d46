"""Changes of the kind `sql`: statements of one PostgreSQL component.

effect: `component`; `statement`, one or a list of which each is exactly one statement; `parameters` (name → value) and
`secrets` (name → reference), bound as `%(name)s` (where there are any, a plain `%` is written `%%`); `write`; `timeout`
and `lock_timeout` in seconds; `ceiling`, the most rows that all of it may affect; `sensitive` (no rows are kept).
guard: a query with `statement` and `parameters` whose first value must be true, in the same transaction.

Without `write` everything runs in a READ ONLY transaction, so that PostgreSQL itself decides what is a read. With it,
in one transaction by the component's `admin` role; a statement that cannot run in one (VACUUM, CREATE INDEX
CONCURRENTLY …) runs alone in autocommit. Until COMMIT is sent every failure is certain: the server rolls back.

output: the status of the last statement, and a small table of the rows that it yields.

result, of the last statement: `rows` (how many it yields or affects), `records` (the first ones), `columns`, `value`
(the first value of the first row), `truncated`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections, ReadFailed
from opsbook.connectors.executors.secrets import NotReached, masked, resolve
from opsbook.connectors.plain_table import MOST_ROWS, plain_table
from opsbook.connectors.plain_values import plain, size_of
from opsbook.connectors.postgres_change import Database, application_name, cut_with
from opsbook.connectors.registry import executor
from opsbook.connectors.sql_text import controls_transaction, outside_transaction, yields_rows
from opsbook.errors import Ambiguous, OpsbookError, Refused

if TYPE_CHECKING:
    import psycopg

MOST_RECORDS = 1_000
LARGEST_RECORDS = 1_000_000
"""Characters of the records that are kept."""
LOCK_SECONDS = 10.0
"""How long a statement waits for a lock: one that waits makes all later ones wait behind it."""
DEFAULT_SECONDS = 300.0
CLIENT_SECONDS = 5.0
"""What the client waits beyond the server's own time-out."""
SETTINGS = """
SELECT set_config('statement_timeout', %(statement)s, %(local)s), set_config('lock_timeout', %(lock)s, %(local)s),
       set_config('idle_in_transaction_session_timeout', %(idle)s, %(local)s)
"""
HINTS = {
    "55P03": "another session holds the lock; `opsbook check` shows who blocks, and the step can be retried",
    "57014": "raise `timeout` of the step, or make the statement smaller",
    "25006": "mark the fence `write` if it is meant to change the database",
    "42501": "set `admin` of the component to a role that may do this",
    "40P01": "two transactions waited for each other; the step can be retried",
}
"""SQLSTATE → the next step."""

_Connection = "psycopg.AsyncConnection[tuple[Any, ...]]"


@executor("sql")
def make(connections: Connections) -> SqlExecutor:
    """The executor for the databases of these connections."""
    return SqlExecutor(connections)


class SqlExecutor:
    """Applies statements, each change over a connection of its own."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused (guard, ceiling), ReadFailed or ChangeFailed where it is certain that nothing happened,
        Ambiguous where the connection was lost while the server might have finished.
        """
        effect = change.effect
        secrets = await resolve(self.connections.system, effect.get("secrets", {}))
        work = _Work(
            Database(self.connections, effect["component"], write=effect["write"]),
            effect,
            change.guard,
            {**effect.get("parameters", {}), **secrets},
        )
        async with work.database.session(application_name(key)) as connection:
            try:
                await cut_with(connection, work.run(connection), work.seconds + CLIENT_SECONDS)
            except (TimeoutError, asyncio.CancelledError) as error:
                # Cut off: the server may be at it still, holding its locks.
                ended = await asyncio.shield(asyncio.ensure_future(work.database.end(application_name(key))))
                if isinstance(error, TimeoutError) and ended and not work.committing:
                    raise work.failed(f"no answer within {work.seconds:g} s; ended and rolled back") from error
                raise
        told = work.result
        await out.write(f"{told['status']}\n" if told.get("status") else "")
        await out.write(_table(told, list(secrets.values())))
        return Done({name: value for name, value in told.items() if name != "status"})

    async def end(self, key: str, change: Change) -> bool:
        """Terminate the session of the change, where one lives still."""
        effect = change.effect
        return await Database(self.connections, effect["component"], write=effect["write"]).end(application_name(key))


@dataclass
class _Work:
    """One attempt: the statements, and how far it came."""

    database: Database
    effect: Mapping[str, Any]
    guard: Json
    parameters: dict[str, Any]
    committing: bool = False
    """From here on a lost connection leaves the outcome unknown."""
    result: dict[str, Json] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return float(self.effect.get("timeout") or DEFAULT_SECONDS)

    @property
    def write(self) -> bool:
        return bool(self.effect["write"])

    def failed(self, message: str, hint: str = "") -> OpsbookError:
        """A certain failure."""
        told = f"{self.database.component}: {message}"
        return ChangeFailed(told, hint) if self.write else ReadFailed(told, hint)

    async def run(self, connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
        import psycopg

        statements = self.effect["statement"]
        statements = [statements] if isinstance(statements, str) else list(statements)
        for statement in statements:
            if words := controls_transaction(statement):
                raise self.failed(f"{words} is not for a change: opsbook opens and ends the transaction", "remove it")
        alone = self.write and any(outside_transaction(statement) for statement in statements)
        if alone and len(statements) > 1:
            raise self.failed("a statement that cannot run in a transaction stands with others", "give it its own step")
        try:
            if alone:
                await self._alone(connection, statements[0])
            else:
                await self._together(connection, statements)
        except psycopg.Error as error:
            raise self._judged(connection, error) from error
        finally:
            self.parameters = {}

    async def _together(self, connection: psycopg.AsyncConnection[tuple[Any, ...]], statements: list[str]) -> None:
        await connection.execute("BEGIN" if self.write else "BEGIN READ ONLY")
        # This query also fixes the transaction's mode: PostgreSQL lets nobody make it READ WRITE after one.
        await self._settings(connection, local=True)
        await self._check_guard(connection)
        affected = 0
        for statement in statements:
            affected += await self._statement(connection, statement)
            if connection.info.transaction_status.name != "INTRANS":
                raise self.failed("a statement ended the transaction by itself", "remove what ends it")
        if self.write:
            self._check_ceiling(affected)
            self.committing = True
            await connection.execute("COMMIT")
        else:
            await connection.execute("ROLLBACK")

    async def _alone(self, connection: psycopg.AsyncConnection[tuple[Any, ...]], statement: str) -> None:
        await self._settings(connection, local=False)
        await self._check_guard(connection)
        self.committing = True
        await self._statement(connection, statement)

    async def _settings(self, connection: psycopg.AsyncConnection[tuple[Any, ...]], *, local: bool) -> None:
        lock = min(float(self.effect.get("lock_timeout") or LOCK_SECONDS), self.seconds)
        idle = str(int((self.seconds + CLIENT_SECONDS) * 1000))
        given = {"statement": str(int(self.seconds * 1000)), "lock": str(max(1, int(lock * 1000))), "idle": idle}
        await connection.execute(SETTINGS, {**given, "local": local})

    async def _check_guard(self, connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
        if not self.guard:
            return
        cursor = await connection.execute(self.guard["statement"].encode(), self.guard.get("parameters") or None)
        row = await cursor.fetchone()
        if not row or row[0] is not True:
            raise Refused(
                f"{self.database.component}: what was planned for is not so any more"
                + (f": {self.guard['says']}" if self.guard.get("says") else ""),
                "plan anew",
            )

    def _check_ceiling(self, affected: int) -> None:
        ceiling = self.effect.get("ceiling")
        if ceiling is not None and affected > ceiling:
            raise Refused(
                f"{self.database.component}: it would affect {affected:,} rows, and {ceiling:,} at most were approved;"
                " rolled back",
                "plan anew, and have the larger number approved",
            )

    async def _statement(self, connection: psycopg.AsyncConnection[tuple[Any, ...]], statement: str) -> int:
        """Run one; the number of rows that it changed."""
        parameters = {name: _bindable(value) for name, value in self.parameters.items()} or None
        keep = not self.effect.get("sensitive")
        async with connection.cursor() as cursor:
            if not yields_rows(statement):
                await cursor.execute(statement.encode(), parameters, prepare=False)
                rows = max(cursor.rowcount, 0)
                self.result = {"rows": rows, "status": cursor.statusmessage or ""}
                return rows if cursor.description is None else 0
            records: list[dict[str, Json]] = []
            count, size, columns = 0, 0, list[str]()
            async for row in cursor.stream(statement.encode(), parameters):
                count += 1
                if not columns:
                    columns = _columns(cursor)
                if keep and count <= MOST_RECORDS and size < LARGEST_RECORDS:
                    records.append(dict(zip(columns, map(plain, row), strict=True)))
                    size += size_of(records[-1])
        self.result = {"rows": count, "status": f"{count} row{'' if count == 1 else 's'}"}
        if keep:
            value = next(iter(records[0].values()), None) if records else None
            self.result |= {"records": records, "columns": columns, "value": value, "truncated": count > len(records)}
        return count if _changes(statement) else 0

    def _judged(self, connection: psycopg.AsyncConnection[tuple[Any, ...]], error: psycopg.Error) -> OpsbookError:
        words = self.database.words(error)
        # The server's own answer is certain; a connection that broke is so only before the end was asked for.
        if error.sqlstate is None and (connection.closed or connection.broken) and self.committing:
            return Ambiguous(
                f"{self.database.component}: the connection was lost while the server was finishing: {words}",
                "look at the database, then `opsbook runs resolve`",
            )
        if error.sqlstate in ("57P01", "57P02", "08006", "08003") and self.committing:
            return Ambiguous(f"{self.database.component}: {words}", "look at the database, then `opsbook runs resolve`")
        lost = (connection.closed or connection.broken) and not error.sqlstate
        rolled_back = "; rolled back" if self.write and not self.committing else ""
        return self.failed(
            words + rolled_back, HINTS.get(error.sqlstate or "", "" if not lost else "is the server up?")
        )


def _table(told: Mapping[str, Any], secrets: list[str]) -> str:
    """The rows for people. Masked before they are cut: half a secret is recognized by nobody."""
    records = [
        {name: masked(value, secrets) if isinstance(value, str) else value for name, value in record.items()}
        for record in told.get("records", ())[:MOST_ROWS]
    ]
    return plain_table(told.get("columns", ()), records, told.get("rows", 0))


def _columns(cursor: psycopg.AsyncCursor[tuple[Any, ...]]) -> list[str]:
    """Names of the columns, each once: `?column?` and `?column?_2`."""
    names: list[str] = []
    for column in cursor.description or ():
        name, n = column.name, 2
        while name in names:
            name, n = f"{column.name}_{n}", n + 1
        names.append(name)
    return names


def _bindable(value: Json) -> Any:
    from psycopg.types.json import Jsonb

    return Jsonb(value) if isinstance(value, dict) or (isinstance(value, list) and _mixed(value)) else value


def _mixed(values: list[Any]) -> bool:
    """Whether a list is no array of PostgreSQL: it has mappings or lists in it, or different types."""
    return any(isinstance(one, dict | list) for one in values) or len({type(one) for one in values}) > 1


def _changes(statement: str) -> bool:
    words = statement.upper()
    return any(word in words for word in ("INSERT", "UPDATE", "DELETE", "MERGE"))


__all__ = ["NotReached", "SqlExecutor", "make"]
