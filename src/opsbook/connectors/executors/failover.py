"""Changes of a failover: `postgres-fence`, `postgres-unfence`, `postgres-promote`, `postgres-repoint`,
`postgres-serves`.

effect: `component`; of fence, unfence and promote `server`, the workload of one of `failover.servers`; of fence also
`planned`; of repoint `place`, a number of `failover.repoint`, and `file` or `service`; of serves `pages` and
`within`, `since`.

Each asks both servers anew, refuses where its condition does not hold, and does nothing twice: applied again after a
crash it finds what was done. No order of them, and no crash in between, makes two primaries.
"""

from __future__ import annotations

from opsbook.connectors.change import Change, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.failover_work import Work
from opsbook.connectors.postgres_containers import end_beside_both
from opsbook.connectors.registry import executor


class _Act:
    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    def work(self, key: str, change: Change, out: Sink) -> Work:
        return Work(self.connections, change.effect["component"], key, out)

    async def end(self, key: str, change: Change) -> bool:
        """Sessions of it wait for nothing but one statement, and every act looks before it does anything."""
        component = change.effect["component"]
        return await end_beside_both(self.connections.system, lambda: self.connections.runtime, component, key)


@executor("postgres-fence")
class Fence(_Act):
    """Result: `gone_at`, `fenced`, `last`."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        effect = change.effect
        return Done(await self.work(key, change, out).fence(effect["server"], planned=effect["planned"]))


@executor("postgres-unfence")
class Unfence(_Act):
    """The undo of a fence."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        return Done(await self.work(key, change, out).unfence(change.effect["server"]))


@executor("postgres-promote")
class Promote(_Act):
    """Result: `timeline`, `switched`, `lost_bytes` and `lost_commits` (None where that cannot be known), `asked`."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        return Done(await self.work(key, change, out).promote(change.effect["server"]))


@executor("postgres-repoint")
class Repoint(_Act):
    """Result: `file` or `service`, `changed`, `primary`."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        return Done(await self.work(key, change, out).repoint(change.effect["place"]))


@executor("postgres-serves")
class Serves(_Act):
    """Result: `at`, and `outage_seconds` where it is known since when nobody served."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        effect = change.effect
        told = await self.work(key, change, out).serves(effect["pages"], effect["within"])
        if effect.get("since"):
            told["outage_seconds"] = round(told["at"] - float(effect["since"]), 1)
            await out.write(f"serves again; nobody was served for {told['outage_seconds']:g} s\n")
        return Done(told)
