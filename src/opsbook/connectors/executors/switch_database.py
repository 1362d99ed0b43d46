"""Changes of the kinds `switch-database` and `drop-database`.

switch-database, effect: `component`; `live`, the name that applications use; `new`, the database that gets it; `kept`,
the name under which what was live is kept. Both are renamed in one transaction, so that whoever connects meets the one
or the other. Pools in between are paused where their console lets us; else they connect again by themselves.
result: `seconds` for which nobody could connect, `ended` sessions, `kept`, `pools`, `replica`.

drop-database, effect: `component`, `database`. guard: `comment`, which the database must have still.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from opsbook.connectors.backups import postgres_databases as databases
from opsbook.connectors.backups.postgres_restore import Target
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.restore_work import Tell, on_stoppable_thread, target_at, target_of
from opsbook.connectors.pgbouncer import PgBouncerComponent
from opsbook.connectors.postgres import PostgresComponent
from opsbook.connectors.postgres_change import Database, application_name
from opsbook.connectors.registry import executor
from opsbook.errors import OpsbookError, Refused

PAUSE_SECONDS = 10.0


@executor("switch-database")
class SwitchDatabase:
    """Lets two databases change places."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused where the databases are not as planned, ChangeFailed where nothing was renamed."""
        effect = change.effect
        server, _ = await target_of(self.connections, effect["component"], key)
        async with self._paused_pools(effect["component"], effect["live"], out) as pools:

            def work(_: threading.Event, tell: Tell) -> dict[str, Json]:
                return switch(server, effect, tell)

            told = await on_stoppable_thread(work, out)
        told["pools"] = pools
        told["replica"] = await self._end_on_replica(effect["component"], effect["kept"], key)
        return Done(told)

    async def end(self, key: str, change: Change) -> bool:
        """End its session: a rename that was not committed is rolled back."""
        return await Database(self.connections, change.effect["component"], write=True).end(application_name(key))

    @asynccontextmanager
    async def _paused_pools(self, component: str, live: str, out: Sink) -> AsyncIterator[dict[str, str]]:
        """Pools in front of the database hold their clients back for the moment, where we may tell them to."""
        told, paused = {}, []
        for name, settings in self.system.components.items():
            if not isinstance(settings, PgBouncerComponent) or component not in self.system.upstream(name):
                continue
            refused = await self._console(settings, f'PAUSE "{live}"')
            told[name] = f"not paused ({refused}); it connects again by itself" if refused else "paused and resumed"
            if refused:
                await self._console(settings, f'RESUME "{live}"')  # a PAUSE that took too long may still come
            else:
                paused.append(settings)
        try:
            yield told
        finally:
            for settings in paused:
                if refused := await asyncio.shield(self._console(settings, f'RESUME "{live}"')):
                    await out.write(f"a pool does not resume: {refused}; tell it RESUME {live}\n")

    async def _console(self, settings: PgBouncerComponent, words: str) -> str:
        """Why the pool's console does not do it; empty where it does."""
        import psycopg

        try:
            target, _ = await target_at(self.connections, settings.admin or settings.dsn, "pool")
            given: Any = {**target.parameters, "dbname": "pgbouncer", "connect_timeout": "5"}
            async with asyncio.timeout(PAUSE_SECONDS):
                connection = await psycopg.AsyncConnection.connect(**given, autocommit=True)
                async with connection:
                    await connection.execute(words.encode(), prepare=False)
        except psycopg.Error as error:
            return (error.diag.message_primary or str(error)).splitlines()[0]
        except (TimeoutError, OpsbookError, OSError) as error:
            return str(error) or f"no answer within {PAUSE_SECONDS:g} s"
        return ""

    async def _end_on_replica(self, component: str, kept: str, key: str) -> str:
        """Whoever reads from the standby stays in the database that it is connected to, whatever its name is now."""
        import psycopg

        settings = self.system.components[component]
        if not isinstance(settings, PostgresComponent) or settings.replica is None:
            return "none"
        try:
            target, _ = await target_at(self.connections, settings.replica, key)
            return await asyncio.to_thread(_end_sessions, target, kept)
        except (psycopg.Error, OpsbookError) as error:
            return f"its sessions could not be ended: {error}"


def _end_sessions(target: Target, kept: str) -> str:
    query = """
        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = %s AND pid <> pg_backend_pid() AND pg_has_role(current_user, usesysid, 'MEMBER')
    """
    with target.session() as connection:
        (ended,) = connection.execute(query, (kept,)).fetchone() or (0,)
        (left,) = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()", (kept,)
        ).fetchone() or (0,)
    return f"{ended} sessions ended" + (f", {left} still read what was kept" if left else "")


def switch(server: Target, effect: dict[str, Any], tell: Tell) -> dict[str, Json]:
    """Rename both. Blocking. Done before by an attempt whose answer was lost, it says so."""
    live, new, kept = effect["live"], effect["new"], effect["kept"]
    if databases.exists(server, kept) and not databases.exists(server, new):
        return {"kept": kept, "already": True}
    for name in (live, new):
        if not databases.exists(server, name):
            raise Refused(f"there is no database {name} any more", "plan anew")
    if databases.exists(server, kept):
        raise Refused(f"there is a database {kept} already", "plan anew")

    def note() -> Json:
        told: dict[str, Json] = {"at": datetime.now(UTC).isoformat(timespec="seconds")}
        with suppress(ChangeFailed):
            told["writes"] = databases.writes_of(server.at(new))
        return told

    swapped = databases.swap(server, live, new, kept, note)
    tell(f"{live} is what was {new}; {swapped.ended} sessions ended, nobody could connect for {swapped.seconds:g} s\n")
    tell(f"what was {live} before is kept as {kept}\n")
    return {"kept": kept, "seconds": swapped.seconds, "ended": swapped.ended}


@executor("drop-database")
class DropDatabase:
    """Drops one."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused where it is not the one that was planned for."""
        server, live = await target_of(self.connections, change.effect["component"], key)
        name = change.effect["database"]

        def work(_: threading.Event, tell: Tell) -> dict[str, Json]:
            if name == live:
                raise Refused(f"{name} is the database that is used", "only one that was kept or made can be dropped")
            if not databases.exists(server, name):
                return {"database": name, "already": True}
            wanted = (change.guard or {}).get("comment")
            if wanted is not None and databases.comment_of(server, name) != wanted:
                raise Refused(f"the database {name} is not the one that was planned for", "plan anew")
            databases.drop(server, name)
            tell(f"dropped {name}\n")
            return {"database": name}

        return Done(await on_stoppable_thread(work, out))

    async def end(self, key: str, change: Change) -> bool:
        return await Database(self.connections, change.effect["component"], write=True).end(application_name(key))
