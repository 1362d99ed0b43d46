"""The standbys that a controller of pods holds: more or fewer of them, each seen streaming."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Duration, Name, Size
from opsbook.connectors.change import Change, Json
from opsbook.connectors.cluster import kubernetes_of
from opsbook.connectors.runtimes.contract import Verb
from opsbook.connectors.workload import workload_of
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation
from opsbook.operations.workloads import change_of

ROOM = """
SELECT current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication) AS senders,
       current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots) AS slots
"""
READ = "SELECT slot_name AS slot FROM pg_replication_slots WHERE slot_name = ANY(%(names)s::text[])"
MOST = 32
WAITS = "nothing to undo: waiting changes nothing"


class Standbys(OperationParameters):
    replica: Name = Field(description="the component whose workload holds the standbys")
    to: int = Field(ge=0, le=MOST, description="how many pods of it")
    slot: str = Field(
        "", pattern=r"^([a-z0-9_]*\{n\}[a-z0-9_]*)?$",
        description="name of the slot that each pod of a StatefulSet reads, `{n}` its number: made before the pod is,"
        " and dropped after it is gone; none where left out",
    )  # fmt: skip
    lag: Size = Field(16 << 20, description="how far behind each may be to count as streaming")
    within: Duration = Field(timedelta(minutes=30), description="how long it may take until all of them stream")


@operation(
    "postgres.scale_standbys", Risk.DISRUPTIVE, of="postgres", idempotent=True, parameters=Standbys,
    doc="Adds read replicas on Kubernetes, or removes some: scales the StatefulSet or Deployment whose pods copy the"
    " primary by themselves and follow it, and waits until the primary sees each of them stream, within its lag. Their"
    " slots, where they have any, are made before and dropped after. Undo goes back to as many as before.",
)  # fmt: skip
class _Scale(Repeatable):
    async def plan(self, parameters: Standbys, facts: Facts) -> AsyncIterator[Change]:
        kubernetes_of(facts.runtime)
        workload = workload_of(facts.system, parameters.replica)
        status = await facts.runtime.status(workload)
        now = status.workload.wanted or 0
        if parameters.slot and status.workload.kind != "StatefulSet":
            raise Refused(f"pods of a {status.workload.kind} have no number", "leave `slot` out")
        slots = await self._slots(parameters, facts, now)
        if parameters.to > now:
            await self._room(parameters, facts, now, len(slots))
        target: dict[str, Json] = {"component": parameters.of}
        made = Change("postgres-standby-slots", {**target, "make": slots, "drop": []})
        dropped = Change("postgres-standby-slots", {**target, "make": [], "drop": slots})
        if slots and parameters.to > now:
            yield Change(made.kind, made.effect, {"slots": slots}, inverse=dropped)
        yield await change_of(facts, parameters.replica, Verb.SCALE, {"replicas": parameters.to})
        waits = {**target, "workload": workload, "count": parameters.to, "lag": int(parameters.lag),
                 "within": parameters.within.total_seconds()}  # fmt: skip
        yield Change("postgres-standbys-stream", waits, {"pods now": now}, inverse=WAITS)
        if slots and parameters.to < now:
            yield Change(dropped.kind, dropped.effect, {"slots": slots}, inverse=made)

    async def _slots(self, parameters: Standbys, facts: Facts, now: int) -> list[str]:
        """Those of the pods that come, or go: a controller of numbered pods begins and ends with the highest."""
        if not parameters.slot:
            return []
        low, high = sorted((now, parameters.to))
        names = [parameters.slot.replace("{n}", str(number)) for number in range(low, high)]
        if not names:
            return []
        there = {str(row["slot"]) for row in await facts.rows(parameters.of, READ, {"names": names})}
        # What stands there already, before its pod does, is another's: it is neither made nor taken away by the undo.
        return [name for name in names if (name in there) is (parameters.to < now)]

    async def _room(self, parameters: Standbys, facts: Facts, now: int, slots: int) -> None:
        (row,) = await facts.rows(parameters.of, ROOM)
        # A copy streams the log beside itself: two senders for each that comes, until it is there.
        wanted = {"max_wal_senders": ("senders", 2 * (parameters.to - now)), "max_replication_slots": ("slots", slots)}
        for setting, (name, least) in wanted.items():
            free = int(str(row[name]))
            if free < least:
                raise Refused(
                    f"the primary has no room for {parameters.to - now} further standbys: {setting} lacks"
                    f" {least - free}",
                    f"raise {setting}",
                )
