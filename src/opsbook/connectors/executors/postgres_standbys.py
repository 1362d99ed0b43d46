"""Changes of the standbys that are pods of one workload: `postgres-standby-slots` and `postgres-standbys-stream`.

`postgres-standby-slots`: `component` (the primary), `make` and `drop` (names of slots). A slot is dropped once nobody
reads it. Result: `made`, `dropped`.

`postgres-standbys-stream`: `component`, `workload`, `count`, `lag` (bytes), `within` (seconds): waits until so many
pods are ready and each of them streams, no further behind than `lag`. It changes nothing. Result: `behind` (pod →
bytes), `seconds`.

Each looks before it acts and may be done again. A pod is known to the primary by the address that it comes from.
"""

from __future__ import annotations

import asyncio
import time

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.cluster import kubernetes_of
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.sql import SqlExecutor
from opsbook.connectors.registry import executor
from opsbook.connectors.runtimes.kubernetes_api import NotThere
from opsbook.connectors.switches.service import patiently
from opsbook.errors import OpsbookError

LOOK_SECONDS = 0.5
UNREAD_SECONDS = 90.0
"""A primary notices within a minute (wal_sender_timeout) that who read a slot is gone without a word."""
MADE = """
SELECT name AS slot, pg_create_physical_replication_slot(name::name, true) AS made
FROM unnest(%(names)s::text[]) AS name
WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = name)
"""
DROPPED = """
SELECT slot_name AS slot, pg_drop_replication_slot(slot_name) AS dropped
FROM pg_replication_slots
WHERE slot_name = ANY(%(names)s::text[]) AND NOT active
"""
LEFT = "SELECT slot_name AS slot FROM pg_replication_slots WHERE slot_name = ANY(%(names)s::text[])"
STREAMS = """
SELECT host(client_addr) AS address, min(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn))::bigint AS behind
FROM pg_stat_replication
WHERE state = 'streaming' AND client_addr IS NOT NULL
GROUP BY client_addr
"""


class _Primary:
    """Statements at the primary, by its admin."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.sql = connections, SqlExecutor(connections)

    async def end(self, key: str, change: Change) -> bool:
        """Terminate the session that carries the key."""
        return await self.sql.end(key, _statement(change.effect, "SELECT 1", {}, write=True))

    async def ask(self, key: str, effect: Json, text: str, names: list[str], *, write: bool = False) -> list[Json]:
        """The rows."""
        values = {"names": names} if names else {}
        done = await self.sql.apply(key, _statement(effect, text, values, write=write), None, _Quiet())
        return list(done.result.get("records") or [])


@executor("postgres-standby-slots")
class Slots(_Primary):
    """Makes and drops slots."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises what `sql` raises, and ChangeFailed for a slot that somebody still reads."""
        effect = change.effect
        made: list[str] = []
        if effect["make"]:
            made = [row["slot"] for row in await self.ask(key, effect, MADE, effect["make"], write=True)]
        if effect["drop"]:
            await self._drop(key, effect, effect["drop"])
        await out.write(f"slots: made {', '.join(made) or 'none'}, dropped {', '.join(effect['drop']) or 'none'}\n")
        return Done({"made": made, "dropped": effect["drop"]})

    async def _drop(self, key: str, effect: Json, names: list[str]) -> None:
        deadline = time.monotonic() + UNREAD_SECONDS
        while True:
            await self.ask(key, effect, DROPPED, names, write=True)
            left = [row["slot"] for row in await self.ask(key, effect, LEFT, names)]
            if not left:
                return
            if time.monotonic() > deadline:
                raise ChangeFailed(f"the slot {left[0]} is still read: it is not dropped", "see who reads it")
            await asyncio.sleep(LOOK_SECONDS)


@executor("postgres-standbys-stream")
class Stream(_Primary):
    """Waits."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed naming the pod that does not stream, or lags."""
        effect, began = change.effect, time.monotonic()
        while True:
            behind, lacks = await self._seen(key, effect)
            if not lacks:
                seconds = round(time.monotonic() - began, 2)
                await out.write(f"{len(behind)} pods of {effect['workload']} stream\n")
                return Done({"behind": behind, "seconds": seconds})
            if time.monotonic() - began > effect["within"]:
                raise ChangeFailed(
                    f"{effect['workload']}: {lacks} after {effect['within']:g} s",
                    f"`opsbook logs` of {effect['workload']} says why",
                )
            await asyncio.sleep(LOOK_SECONDS)

    async def _seen(self, key: str, effect: Json) -> tuple[dict[str, int], str]:
        """How far behind each pod is, and what lacks yet."""
        pods = await patiently(lambda: self._addresses(effect["workload"]))
        try:
            rows = await self.ask(key, effect, STREAMS, [])
        except OpsbookError as error:
            return {}, error.message
        streams = {row["address"]: int(row["behind"]) for row in rows if row["behind"] is not None}
        behind = {name: streams[address] for name, address in pods.items() if address in streams}
        silent = [name for name in pods if name not in behind]
        late = [name for name, amount in behind.items() if amount > effect["lag"]]
        if len(pods) != effect["count"]:
            return behind, f"{len(pods)} pods of {effect['count']} are ready"
        if silent:
            return behind, f"{silent[0]} does not stream from {effect['component']}"
        return behind, f"{late[0]} is {behind[late[0]]:,} bytes behind" if late else ""

    async def _addresses(self, workload: str) -> dict[str, str]:
        """The ready pods and where each comes from."""
        runtime = kubernetes_of(self.connections.runtime)
        found: dict[str, str] = {}
        for pod in await runtime.pods(workload):
            if pod.ready and not pod.ending:
                try:
                    told = await runtime.api.get(runtime.namespace.core("pods", pod.name))
                except NotThere:
                    continue
                found[pod.name] = str((told.get("status") or {}).get("podIP", ""))
        return found


def _statement(effect: Json, text: str, values: dict[str, Json], *, write: bool) -> Change:
    told = {"component": effect["component"], "statement": text, "parameters": values, "write": write}
    return Change("sql", {**told, "timeout": 30.0})


class _Quiet:
    """Rows of a look are no news."""

    async def write(self, text: str) -> None:
        return
