"""Statements of PostgreSQL that need a look before, during or after: locks that are timed, indexes that must be valid.

Both send their statements as the executor of `sql` does, under the key of the change.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections, ReadFailed
from opsbook.connectors.executors.sql import SqlExecutor
from opsbook.connectors.postgres import PostgresConnector
from opsbook.connectors.postgres_change import application_name
from opsbook.connectors.postgres_session import Session
from opsbook.connectors.registry import executor
from opsbook.errors import Refused, Unreachable

LOOK_SECONDS = 0.05

WAITS = """
SELECT count(*) > 0
FROM pg_locks AS l
JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE a.application_name = %(session)s AND l.mode = 'AccessExclusiveLock' AND NOT l.granted
"""

INVALID = """
SELECT format('%%I.%%I', n.nspname, i.relname) AS name,
       EXISTS (SELECT FROM pg_stat_progress_create_index AS p WHERE p.relid = x.indrelid) AS building
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_class AS t ON t.oid = x.indrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
WHERE NOT x.indisvalid AND n.nspname = %(schema)s AND t.relname = %(table)s AND i.relname ~ %(invalid)s
ORDER BY 1
"""


class _Statements:
    def __init__(self, connections: Connections) -> None:
        self.connections, self.sql = connections, SqlExecutor(connections)

    async def end(self, key: str, change: Change) -> bool:
        """Terminate the session that carries the key."""
        return await self.sql.end(key, _statement(change.effect, change.effect["statement"]))

    def facts(self, effect: dict[str, Any]) -> PostgresConnector:
        """The connection that observes."""
        found = self.connections.of(effect["component"])
        assert isinstance(found, PostgresConnector), "planned for a postgres component"
        return found


def _statement(effect: dict[str, Any], sql: str) -> Change:
    known = {name: effect[name] for name in ("component", "timeout", "lock_timeout") if name in effect}
    return Change("sql", {**known, "statement": sql, "parameters": {}, "write": True})


@executor("sql-exclusive")
class Exclusive(_Statements):
    """A statement that locks everybody out of one table: `component`, `table`, `statement`, `timeout`, `lock_timeout`.

    result: `waited_seconds` for the lock, and `locked_seconds`, the most during which nobody else could use the table.
    """

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises what the executor of `sql` raises."""
        effect, started = change.effect, time.monotonic()
        watch = _Watch(self.facts(effect).primary, application_name(key), started)
        watching = asyncio.ensure_future(watch.run())
        try:
            await self.sql.apply(key, _statement(effect, effect["statement"]), None, out)
            ended = time.monotonic()
        finally:
            watching.cancel()
            await asyncio.wait({watching})
        waited, locked = round(watch.waited_until - started, 3), round(ended - watch.waited_until, 3)
        await out.write(f"{effect['table']} was locked for {locked:g} s, after {waited:g} s of waiting for it\n")
        return Done({"seconds": round(ended - started, 3), "waited_seconds": waited, "locked_seconds": locked})


class _Watch:
    """Looks until when a session still waits for its lock. What cannot be seen counts as locked."""

    def __init__(self, session: Session, name: str, started: float) -> None:
        self.session, self.name, self.waited_until = session, name, started

    async def run(self) -> None:
        while True:
            with suppress(ReadFailed, Unreachable, TimeoutError):
                ((waits,),) = await self.session.read(WAITS, {"session": self.name}, limit=5.0)
                if waits:
                    self.waited_until = time.monotonic()
            await asyncio.sleep(LOOK_SECONDS)


@executor("sql-index")
class Index(_Statements):
    """Builds indexes concurrently: `component`, `schema`, `table`, `statement`, `timeout`, and `invalid`, a regular
    expression: invalid indexes of the table with such names are dropped before, and are a failure after.

    result: `dropped`, the names of those; `seconds`.
    """

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused where somebody else builds an index of this table now, and what `sql` raises."""
        effect, started = change.effect, time.monotonic()
        dropped = []
        for name, building in await self._invalid(effect):
            if building:
                raise Refused(
                    f"an index of {effect['schema']}.{effect['table']} is being built by somebody else",
                    "wait until it is done: pg_stat_progress_create_index shows it",
                )
            await self.sql.apply(key, _statement(effect, f"DROP INDEX CONCURRENTLY IF EXISTS {name}"), None, out)
            await out.write(f"dropped the invalid index {name}\n")
            dropped.append(name)
        await self.sql.apply(key, _statement(effect, effect["statement"]), None, out)
        left = [name for name, _ in await self._invalid(effect)]
        if left:
            raise ChangeFailed(f"{', '.join(left)} is invalid after it was built", "make the change again")
        return Done({"dropped": dropped, "seconds": round(time.monotonic() - started, 3)})

    async def _invalid(self, effect: dict[str, Any]) -> list[tuple[str, bool]]:
        wanted = {name: effect[name] for name in ("schema", "table", "invalid")}
        try:
            rows = await self.facts(effect).primary.read(INVALID, wanted, limit=30.0)
        except Unreachable as error:
            raise ReadFailed(error.message, error.hint) from error
        return [(name, building) for name, building in rows]
