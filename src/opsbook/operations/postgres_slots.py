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

SLOT = """
SELECT slot_name AS slot, slot_type AS type, active, wal_status,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END,
                       restart_lsn)::bigint AS retained_bytes
FROM pg_replication_slots WHERE slot_name = %(slot)s
"""
# One statement: whether it is unused is judged by the very statement that drops it.
DROP = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %(slot)s AND NOT active"


class Slot(OperationParameters):
    slot: Identifier = Field(description="name of the slot")


@operation(
    "postgres.drop_slot",
    Risk.DESTRUCTIVE,
    of="postgres",
    idempotent=True,
    parameters=Slot,
    doc="Drops a replication slot that nobody uses. A standby that needed it must be made anew, if the WAL is gone.",
)
class _DropSlot(Repeatable):
    async def plan(self, parameters: Slot, facts: Facts) -> AsyncIterator[Change]:
        rows = await facts.rows(parameters.of, SLOT, {"slot": parameters.slot})
        if rows and rows[0]["active"]:
            raise Refused(f"the slot {parameters.slot} is in use", "stop the standby or consumer that reads it first")
        yield statement(
            parameters.of,
            DROP,
            {"slot": parameters.slot},
            ceiling=1,
            evidence=rows[0] if rows else {"slot": parameters.slot, "now": "it is not there"},
            inverse="a dropped slot cannot come back: the WAL it held may be gone",
        )
