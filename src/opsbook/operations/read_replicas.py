"""A standby for readers: copied, streaming and led to; or nobody led there, stopped, and its slot dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Name
from opsbook.connectors.change import Change, Json
from opsbook.connectors.postgres import ReadReplica
from opsbook.connectors.postgres_pair import NoAnswer, Seen, Server, see
from opsbook.connectors.postgres_replica import (
    SESSIONS,
    STANDING,
    free_for_copy,
    primary_server,
    replica_server,
    said,
    slot_of,
)
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation

ROOM = """
SELECT current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication),
       current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots),
       (SELECT sum(pg_database_size(oid))::bigint FROM pg_database)
"""

STREAMED = "nothing to undo: it was there and streamed already"


class Replica(OperationParameters):
    replica: Name = Field(description="its id in `read_replicas` of the component")


class Gone(Replica):
    delete: bool = Field(False, description="delete its data folder too; else it is kept beside, as NAME.removed")


def _look(facts: Facts, parameters: Replica) -> tuple[ReadReplica, Server, Server]:
    found = said(facts.system, parameters.of, parameters.replica)
    return found, primary_server(facts.system, parameters.of), replica_server(facts.system, found)


def _leads(parameters: Replica, found: ReadReplica, to: str) -> list[Change]:
    """Readers led one way; the undo is the other."""
    back = {"replica": "primary", "primary": "replica"}[to]
    changes = []
    for number, place in enumerate(found.readers):
        target: dict[str, Json] = {"component": parameters.of, "replica": found.id, "place": number}
        inverse = Change("postgres-replica-lead", {**target, "to": back})
        changes.append(
            Change("postgres-replica-lead", {**target, "to": to}, {"file": str(place.file)}, inverse=inverse)
        )
    return changes


@operation(
    "postgres.add_replica", Risk.DISRUPTIVE, of="postgres", idempotent=True, parameters=Replica,
    doc="Makes a read replica of the book: a slot, a copy of the primary in its data folder, its workload started; seen"
    " streaming and within its lag before readers are led to it. Undo leads them back and removes it.",
)  # fmt: skip
class _Add(Repeatable):
    async def plan(self, parameters: Replica, facts: Facts) -> AsyncIterator[Change]:
        found, primary, own = await asyncio.to_thread(_look, facts, parameters)
        seen = await asyncio.to_thread(see, own)
        if seen.primary:
            raise Refused(f"{found.workload} at {own.address} is a primary itself", "see `url` of the read replica")
        ((senders, slots, size),) = await asyncio.to_thread(primary.rows, ROOM)
        there = await asyncio.to_thread(primary.rows, STANDING, slot_of(found))
        if not seen.streaming:
            _must_fit(seen, found, senders, slots + len(there))
        told: dict[str, Json] = {"from": primary.address, "to": own.address, "bytes": size, "slot": slot_of(found),
                                 "now": seen.told}  # fmt: skip
        target = {"component": parameters.of, "replica": found.id}
        removed = Change("postgres-replica-remove", {**target, "delete": True})
        yield Change("postgres-replica-add", target, told,
                     inverse=STREAMED if seen.streaming else removed)  # fmt: skip
        for change in _leads(parameters, found, "replica"):
            yield change


def _must_fit(seen: Seen, found: ReadReplica, senders: int, slots: int) -> None:
    """Raises Refused where a copy cannot be made or would have nobody to stream from."""
    own = seen.server
    assert own.data is not None
    free_for_copy(own.data)
    # The copy streams the log beside itself: two senders at a time.
    if senders < 2 or slots < 1:
        what, least = ("max_wal_senders", 2 - senders) if senders < 2 else ("max_replication_slots", 1)
        raise Refused(f"the primary has no room for a further standby: {what} lacks {least}", f"raise {what}")
    # One that answers as a standby lost its primary, as after a failover: it is told whom to follow.
    if own.accepts() and not seen.in_recovery:
        raise Refused(f"something listens at {own.address}, and does not stream", f"stop {found.workload} first")


@operation(
    "postgres.remove_replica", Risk.DISRUPTIVE, of="postgres", idempotent=True, parameters=Gone,
    doc="Removes a read replica: readers are led to the primary, sessions may end, its workload is stopped, its slot is"
    " dropped once nothing reads it. Undo makes it anew.",
)  # fmt: skip
class _Remove(Repeatable):
    async def plan(self, parameters: Gone, facts: Facts) -> AsyncIterator[Change]:
        found, primary, own = await asyncio.to_thread(_look, facts, parameters)
        if (await asyncio.to_thread(see, own)).primary:
            raise Refused(f"{found.workload} at {own.address} is a primary itself", "see `url` of the read replica")
        try:
            readers = [row[0] for row in await asyncio.to_thread(own.rows, SESSIONS)]
        except NoAnswer as error:
            readers = [error.message]
        for change in _leads(parameters, found, "primary"):
            yield change
        slot = await asyncio.to_thread(primary.rows, STANDING, slot_of(found))
        told: dict[str, Json] = {"readers": readers[:10], "slot": slot_of(found) if slot else "is gone already"}
        target = {"component": parameters.of, "replica": found.id}
        yield Change("postgres-replica-remove", {**target, "delete": parameters.delete}, told,
                     inverse=Change("postgres-replica-add", target))  # fmt: skip
