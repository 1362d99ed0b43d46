"""Vacuum and analyze: reclaim dead rows, renew statistics, and the rewriting VACUUM FULL with its price told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psutil
from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.units import Dimension, show
from opsbook.connectors.change import Change, Json
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation
from opsbook.operations.statements import TableName, quoted_table, statement

SPARE = 1.1
"""VACUUM FULL writes a second copy before it drops the first; a tenth more for what comes meanwhile."""

TABLES = """
SELECT format('%%s.%%s', s.schemaname, s.relname) AS name, s.n_live_tup AS live, s.n_dead_tup AS dead,
       pg_total_relation_size(s.relid) AS bytes, greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed,
       greatest(s.last_analyze, s.last_autoanalyze) AS analyzed
FROM pg_stat_user_tables AS s
WHERE %(names)s::text[] IS NULL OR s.relid = ANY (SELECT to_regclass(n)::oid FROM unnest(%(names)s::text[]) AS n)
ORDER BY s.n_dead_tup DESC, name
"""
DATA_FOLDER = "SELECT current_setting('data_directory', true) AS folder"


class Maintained(OperationParameters):
    tables: tuple[TableName, ...] = Field(
        (), description="tables, as `table` or `schema.table`; empty: the whole database"
    )


async def tables_now(facts: Facts, component: str, names: tuple[str, ...]) -> list[dict[str, Json]]:
    """The tables with their rows and sizes. Raises Refused for one that is not there."""
    quoted_names = [quoted_table(name) for name in names] or None
    rows = await facts.rows(component, TABLES, {"names": quoted_names})
    if names and len(rows) < len(set(names)):
        found = {str(row["name"]) for row in rows} | {str(row["name"]).partition(".")[2] for row in rows}
        missing = sorted(set(names) - found)
        raise Refused(
            f"{component} has no table {', '.join(missing)}", "see `\\dt` in `opsbook shell`, and the search path"
        )
    return rows


def _evidence(rows: list[dict[str, Json]]) -> Json:
    keys = ("name", "dead", "live", "bytes")
    return {"tables": [{key: row[key] for key in keys} for row in rows[:20]], "more": max(0, len(rows) - 20)}


class _Maintenance(Repeatable):
    """Shared by vacuum and analyze: one statement a table, or one for the database."""

    words: str

    async def plan(self, parameters: Maintained, facts: Facts) -> AsyncIterator[Change]:
        rows = await tables_now(facts, parameters.of, parameters.tables)
        for name in parameters.tables or ("",):
            sql = f"{self.words} {quoted_table(name)}" if name else self.words
            seen = [row for row in rows if not name or name in (row["name"], str(row["name"]).partition(".")[2])]
            yield statement(
                parameters.of,
                sql,
                transaction=False,
                evidence=_evidence(seen),
                inverse="nothing to undo: no data changes",
            )


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


@operation(
    "postgres.vacuum_full",
    Risk.DISRUPTIVE,
    of="postgres",
    idempotent=True,
    parameters=Rewritten,
    doc="Rewrites one table to its least size. Nobody can read or write it meanwhile (ACCESS EXCLUSIVE), and the disk "
    "must hold a second copy: refused where the free space is known not to suffice.",
)
class _VacuumFull(Repeatable):
    async def plan(self, parameters: Rewritten, facts: Facts) -> AsyncIterator[Change]:
        (row,) = await tables_now(facts, parameters.of, (parameters.table,))
        needed = float(row["bytes"] or 0) * SPARE
        free = await _free_bytes(facts, parameters.of)
        if free is not None and free < needed:
            raise Refused(
                f"VACUUM FULL of {parameters.table} needs {show(needed, Dimension.SIZE)} of free disk for its second "
                f"copy, and {show(free, Dimension.SIZE)} are free",
                "free disk first, or use pg_repack; a plain `postgres.vacuum` needs no space",
            )
        evidence = {
            "bytes": row["bytes"], "dead": row["dead"], "live": row["live"],
            "free": "not known: the server is on another machine" if free is None else free,
            "locks": f"{row['name']} in ACCESS EXCLUSIVE mode while it is rewritten",
        }  # fmt: skip
        sql = f"VACUUM (FULL, ANALYZE) {quoted_table(parameters.table)}"
        yield statement(
            parameters.of, sql, transaction=False, evidence=evidence, inverse="nothing to undo: no data changes"
        )


async def _free_bytes(facts: Facts, component: str) -> float | None:
    """Free bytes where the server keeps its data; None where that is not on this machine."""
    (row,) = await facts.rows(component, DATA_FOLDER)
    folder = str(row["folder"] or "")
    try:
        free = float(psutil.disk_usage(folder).free)
    except OSError:
        return None
    facts.record(f"{component}: free bytes of {folder}", free)
    return free
