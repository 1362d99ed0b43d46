"""Vacuum and analyze: reclaim dead rows, renew statistics, and the rewriting VACUUM FULL with its price told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psutil
from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.units import Dimension, show
from opsbook.connectors.change import Change
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.postgres_tables import evidence_of, table_now, tables_now
from opsbook.operations.registry import operation
from opsbook.operations.statements import LONG, TableName, statement

SPARE = 1.1
"""VACUUM FULL writes a second copy before it drops the first; a tenth more for what comes meanwhile."""
NO_DATA_CHANGES = "nothing to undo: no data changes"

DATA_FOLDER = """
SELECT current_setting('data_directory', true) AS folder,
       extract(epoch FROM pg_postmaster_start_time())::float AS started
"""
SAME_START_SECONDS = 5.0
"""The server and its process on this machine tell the same start, within what either rounds or needs to begin."""


class Maintained(OperationParameters):
    tables: tuple[TableName, ...] = Field(
        (), description="tables, as `table` or `schema.table`; empty: the whole database"
    )


class _Maintenance(Repeatable):
    """Shared by vacuum and analyze: one statement a table, or one for the database."""

    words: str

    async def plan(self, parameters: Maintained, facts: Facts) -> AsyncIterator[Change]:
        tables = await tables_now(facts, parameters.of, parameters.tables)
        if not parameters.tables:
            yield self._change(parameters.of, self.words, evidence_of(tables))
        for table in tables if parameters.tables else ():
            yield self._change(parameters.of, f"{self.words} {table.sql}", evidence_of([table]))

    def _change(self, component: str, sql: str, evidence: dict[str, object]) -> Change:
        return statement(component, sql, timeout=LONG, evidence=evidence, inverse=NO_DATA_CHANGES)


@operation(
    "postgres.vacuum",
    Risk.SAFE,
    of="postgres",
    idempotent=True,
    parameters=Maintained,
    doc="Reclaims the space of dead rows and renews the planner's statistics. Readers and writers go on.",
)
class _Vacuum(_Maintenance):
    words = "VACUUM (ANALYZE)"


@operation(
    "postgres.analyze",
    Risk.SAFE,
    of="postgres",
    idempotent=True,
    parameters=Maintained,
    doc="Renews the planner's statistics. Readers and writers go on.",
)
class _Analyze(_Maintenance):
    words = "ANALYZE"


class Rewritten(OperationParameters):
    table: TableName = Field(description="the one table to rewrite, as `table` or `schema.table`")
    wait: float = Field(
        5.0, gt=0, le=600, description="seconds to wait for the lock; meanwhile all who come later wait too"
    )


@operation(
    "postgres.vacuum_full",
    Risk.DISRUPTIVE,
    of="postgres",
    idempotent=True,
    parameters=Rewritten,
    doc="Rewrites one table to its least size. Nobody can read or write it meanwhile (ACCESS EXCLUSIVE), and the disk "
    "must hold a second copy: refused where the free space is known not to suffice. The result says how long it waited "
    "for the lock, and how long it held it.",
)
class _VacuumFull(Repeatable):
    async def plan(self, parameters: Rewritten, facts: Facts) -> AsyncIterator[Change]:
        table = await table_now(facts, parameters.of, parameters.table)
        if table.partitioned:
            raise Refused(f"{table.label} is partitioned: all its partitions would be locked", "name one partition")
        needed = table.bytes * SPARE
        free = await _free_bytes(facts, parameters.of)
        if free is not None and free < needed:
            raise Refused(
                f"VACUUM FULL of {table.label} needs {show(needed, Dimension.SIZE)} of free disk for its second "
                f"copy, and {show(free, Dimension.SIZE)} are free",
                "free disk first, or use pg_repack; a plain `postgres.vacuum` needs no space",
            )
        evidence = {
            **table.told,
            "free": "not known: the server is on another machine" if free is None else free,
            "locks": f"{table.label} in ACCESS EXCLUSIVE mode while it is rewritten",
        }
        effect = {
            "component": parameters.of, "table": table.label,
            "statement": f"VACUUM (FULL, ANALYZE) {table.sql}", "timeout": LONG, "lock_timeout": parameters.wait,
        }  # fmt: skip
        yield Change("sql-exclusive", effect, evidence, inverse=NO_DATA_CHANGES)


async def _free_bytes(facts: Facts, component: str) -> float | None:
    """Free bytes where the server keeps its data; None where it is on another machine, or not told to this role."""
    (row,) = await facts.rows(component, DATA_FOLDER)
    folder, started = str(row["folder"] or ""), float(row["started"] or 0)
    pid = await asyncio.to_thread(_postmaster, started) if folder else None
    for path in (f"/proc/{pid}/root{folder}", folder) if pid else ():
        try:
            free = float(psutil.disk_usage(path).free)
        except OSError:
            continue
        facts.record(f"{component}: free bytes of {folder}", free)
        return free
    return None


def _postmaster(started: float) -> int | None:
    """The process here that is the server; the same folder on this machine may belong to another one."""
    found = [
        process.info
        for process in psutil.process_iter(["pid", "name", "create_time"])
        if str(process.info["name"]).startswith(("postgres", "postmaster"))
        and abs(process.info["create_time"] - started) < SAME_START_SECONDS
    ]
    return min(found, key=lambda one: one["create_time"])["pid"] if found else None
