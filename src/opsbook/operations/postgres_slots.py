"""Replication slots that nobody reads hold WAL back until the disk is full."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation
from opsbook.operations.statements import Identifier, statement

# Through JSON, since wal_status came with version 13 and inactive_since with 17.
SLOT = """
SELECT slot_name AS slot, slot_type AS type, database, active, restart_lsn::text AS restart_lsn,
       pg_is_in_recovery() AS on_standby, database IS DISTINCT FROM current_database() AS elsewhere,
       to_jsonb(s) ->> 'wal_status' AS wal_status, to_jsonb(s) ->> 'inactive_since' AS inactive_since,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END,
                       restart_lsn)::bigint AS retained_bytes,
       (SELECT array_agg(r.application_name) FROM pg_stat_replication AS r) AS connected_standbys
FROM pg_replication_slots AS s
WHERE slot_name = %(slot)s
"""
# One statement: whether it is unused is judged by the very statement that drops it.
DROP = """
SELECT slot_name AS slot, pg_drop_replication_slot(slot_name) AS dropped
FROM pg_replication_slots
WHERE slot_name = %(slot)s AND NOT active
"""
UNUSED = """
SELECT NOT EXISTS (
    SELECT FROM pg_replication_slots
    WHERE slot_name = %(slot)s AND (active OR restart_lsn IS DISTINCT FROM %(restart_lsn)s::pg_lsn))
"""


class Slot(OperationParameters):
    slot: Identifier = Field(description="name of the slot")


@operation(
    "postgres.drop_slot",
    Risk.DESTRUCTIVE,
    of="postgres",
    idempotent=True,
    parameters=Slot,
    doc="Drops a replication slot that nobody uses: refused while it is read, and where it has moved since it was "
    "planned. A standby that needed it must be made anew, if the WAL is gone.",
)
class _DropSlot(Repeatable):
    async def plan(self, parameters: Slot, facts: Facts) -> AsyncIterator[Change]:
        rows = await facts.rows(parameters.of, SLOT, {"slot": parameters.slot})
        seen = rows[0] if rows else None
        if seen and seen["active"]:
            raise Refused(f"the slot {parameters.slot} is in use", "stop the standby or consumer that reads it first")
        if seen and seen["type"] == "logical" and seen["elsewhere"]:
            raise Refused(
                f"the slot {parameters.slot} belongs to the database {seen['database']}: it can only be dropped there",
                "name a component whose URL has that database",
            )
        guard = {
            "statement": UNUSED,
            "parameters": {"slot": parameters.slot, "restart_lsn": seen["restart_lsn"] if seen else None},
            "says": f"somebody reads the slot {parameters.slot}, or has done so",
        }
        yield statement(
            parameters.of,
            DROP,
            {"slot": parameters.slot},
            evidence=seen or {"slot": parameters.slot, "now": "it is not there"},
            guard=guard,
            inverse="a dropped slot cannot come back: the WAL it held may be gone",
        )
