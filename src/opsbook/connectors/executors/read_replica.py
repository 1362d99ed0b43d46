"""Changes of a read replica: `postgres-replica-add`, `postgres-replica-remove`, `postgres-replica-lead`.

effect: `component`, `replica` (its id in the book); of remove `delete` (its data folder too); of lead `place`, a number
of its `readers`, and `to`: "replica" or "primary".

Each looks before it acts and may be done again. A slot is dropped once the replica is stopped and nothing reads it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.failover_servers import STOP_SECONDS
from opsbook.connectors.executors.failover_work import RELOAD_SECONDS, Work, _console
from opsbook.connectors.executors.file import FileExecutor, write_file
from opsbook.connectors.executors.secrets import resolve
from opsbook.connectors.pgbouncer import PgBouncerComponent
from opsbook.connectors.postgres import PostgresComponent, ReadReplica
from opsbook.connectors.postgres_pair import NoAnswer, Server, see
from opsbook.connectors.postgres_places import readers_led
from opsbook.connectors.postgres_replica import (
    BEHIND,
    DROP,
    MADE,
    SESSIONS,
    STANDING,
    Copying,
    not_promoted,
    primary_server,
    replica_server,
    said,
    server,
    slot_of,
    take_away,
)
from opsbook.connectors.process_tree import end_tree
from opsbook.connectors.registry import executor
from opsbook.connectors.runtimes.contract import Verb
from opsbook.errors import Refused

CATCH_UP_SECONDS, DRAIN_SECONDS = 600.0, 60.0


class _Act:
    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def end(self, key: str, change: Change) -> bool:
        """End pg_basebackup of a dead process."""
        await end_tree(key)
        return True

    async def servers(self, change: Change) -> tuple[ReadReplica, Server, Server]:
        """What the book says, the primary now, and the replica."""
        component, name = change.effect["component"], change.effect["replica"]
        replica = said(self.system, component, name)
        primary = await asyncio.to_thread(primary_server, self.system, component)
        return replica, primary, await asyncio.to_thread(replica_server, self.system, replica)


@executor("postgres-replica-add")
class Add(_Act):
    """Result: `server`, `slot`, `behind` (bytes), `seconds`."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused, ChangeFailed."""
        began = time.monotonic()
        replica, primary, own = await self.servers(change)
        component, slot = change.effect["component"], slot_of(replica)
        work = Work(self.connections, component, key, out)
        if not (await asyncio.to_thread(see, own)).streaming:
            settings = self.system.components[component]
            assert isinstance(settings, PostgresComponent)
            follows = {**primary.parameters, "application_name": replica.id}
            if replica.source is not None:
                source = server(component, (await resolve(self.system, {"url": replica.source.text}))["url"])
                follows |= {name: text for name, text in source.parameters.items() if name in ("user", "password")}
            copying = Copying(primary, own, replica.settings, follows, slot, key)
            if not copying.made:
                await out.write(f"copying {primary.address} to {copying.data}\n")
            await asyncio.to_thread(copying.run)
            await work.tell_runtime(replica.workload, Verb.START)
            with suppress(NoAnswer):  # one that ran already reads whom it follows anew
                await asyncio.to_thread(own.rows, "SELECT pg_reload_conf()")
        await work.until(lambda: see(own).streaming, STOP_SECONDS, f"{replica.workload} does not stream")
        behind = -1

        def near() -> bool:
            nonlocal behind
            rows = primary.rows(BEHIND, slot)
            behind = int(rows[0][0]) if rows and rows[0][0] is not None else -1
            return 0 <= behind <= replica.lag

        await work.until(near, CATCH_UP_SECONDS, f"{replica.workload} stays more than {replica.lag} bytes behind")
        seconds = round(time.monotonic() - began, 2)
        await out.write(f"{replica.workload} streams by the slot {slot}, {behind} bytes behind\n")
        return Done({"server": own.address, "slot": slot, "behind": behind, "seconds": seconds})


@executor("postgres-replica-remove")
class Remove(_Act):
    """Result: `slot`, `dropped`, `folder`."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed while somebody reads from it, or its slot is read."""
        replica, primary, own = await self.servers(change)
        assert own.data is not None
        if (await asyncio.to_thread(see, own)).primary:
            raise Refused(f"{replica.workload} at {own.address} is a primary", "see `url` of the read replica")
        if (own.data / MADE).exists():
            not_promoted(own.data)
        work, slot = Work(self.connections, change.effect["component"], key, out), slot_of(replica)
        await self._nobody_reads(own)
        await work.tell_runtime(replica.workload, Verb.STOP)
        await work.until(
            lambda: not own.accepts() and not own.processes(), STOP_SECONDS, f"{replica.workload} does not end"
        )

        def dropped() -> bool:
            primary.rows(DROP, slot)
            return not primary.rows(STANDING, slot)

        await work.until(dropped, STOP_SECONDS, f"somebody else reads the slot {slot}: it is not dropped")
        folder = await asyncio.to_thread(take_away, own.data, delete=bool(change.effect.get("delete")))
        await out.write(f"{replica.workload} is stopped, its slot {slot} is gone, {folder}\n")
        return Done({"slot": slot, "dropped": True, "folder": folder})

    async def _nobody_reads(self, own: Server) -> None:
        deadline = time.monotonic() + DRAIN_SECONDS
        while True:
            try:
                readers = [row[0] for row in await asyncio.to_thread(own.rows, SESSIONS)]
            except NoAnswer:
                return
            if not readers:
                return
            if time.monotonic() > deadline:
                raise ChangeFailed(
                    f"{len(readers)} sessions still read from {own.workload}: {', '.join(sorted(set(readers))[:5])}",
                    "lead them elsewhere, then resume",
                )
            await asyncio.sleep(0.5)


@executor("postgres-replica-lead")
class Lead(_Act):
    """Result: `file`, `changed`, `to`."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed where the place has no such entry, or the pool does not follow."""
        replica, primary, own = await self.servers(change)
        place = replica.readers[change.effect["place"]]
        target, other = (own, primary) if change.effect["to"] == "replica" else (primary, own)
        path: Path = self.system.path(place.file.text)
        try:
            before = await asyncio.to_thread(path.read_text, "utf-8")
        except OSError as error:
            raise ChangeFailed(f"{path}: {error.strerror}", "see `read_replicas.readers`") from error
        text = readers_led(place, before, target, (other,))
        if text != before:
            await FileExecutor(self.connections).apply(key, write_file(self.system, str(path), text), None, out)
            self.system.forget_variables()
            self.connections.forget()
        if place.reload:
            await self._reload(Work(self.connections, change.effect["component"], key, out), place.reload,
                               place.databases, target)  # fmt: skip
        await out.write(f"readers by {path.name} go to {target.address}\n")
        return Done({"file": str(path), "changed": text != before, "to": target.address})

    async def _reload(self, work: Work, pool: str, databases: tuple[str, ...], target: Server) -> None:
        settings = self.system.components.get(pool)
        if not isinstance(settings, PgBouncerComponent):
            raise ChangeFailed(f"{pool} is no PgBouncer of the book", "see `reload` of `read_replicas.readers`")
        url = (await resolve(self.system, {"url": (settings.admin or settings.dsn).text}))["url"]
        await asyncio.to_thread(_console, url, "RELOAD")

        def follows() -> bool:
            rows: dict[str, Any] = {row["name"]: row for row in _console(url, "SHOW DATABASES")}
            return all(str(rows.get(one, {}).get("port")) == str(target.port) for one in databases)

        await work.until(follows, RELOAD_SECONDS, f"{pool} does not lead readers to {target.address} after RELOAD")
