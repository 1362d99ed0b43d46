"""Indexes: rebuilt and made without locking writers out, and the invalid leftovers of attempts that failed removed.

A build that is cut off leaves an invalid index behind, which costs every write and serves nobody. So what is removed is
part of the effect, found again when it is applied: a crash in the middle mends itself when the change is made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.words import nearest
from opsbook.connectors.change import Change, Json
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.postgres_tables import Table, table_now
from opsbook.operations.registry import operation
from opsbook.operations.statements import LONG, Identifier, TableName, quoted, statement

INDEXES = """
SELECT i.relname AS name, x.indisvalid AS valid, pg_relation_size(i.oid) AS bytes, t.relname AS of_table,
       pg_get_indexdef(i.oid) AS definition, m.amname AS method, x.indisunique AS unique,
       (SELECT array_agg(a.attname::text ORDER BY k.n)
          FROM unnest(x.indkey::int[]) WITH ORDINALITY AS k(attnum, n)
          LEFT JOIN pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = k.attnum) AS columns,
       x.indpred IS NOT NULL AS partial, s.idx_scan AS scans,
       EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = i.oid) AS constrained
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_class AS t ON t.oid = x.indrelid
JOIN pg_am AS m ON m.oid = i.relam
JOIN pg_namespace AS n ON n.oid = i.relnamespace
LEFT JOIN pg_stat_all_indexes AS s ON s.indexrelid = i.oid
WHERE n.nspname = %(schema)s AND (t.relname = %(table)s OR i.relname = %(index)s)
ORDER BY 1
"""
COLUMNS = """
SELECT a.attname AS name
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(table)s AND a.attnum > 0 AND NOT a.attisdropped
"""
LEFTOVER = r"_cc(new|old)[0-9]*$"
"""What REINDEX CONCURRENTLY calls what it builds and what it replaces (PostgreSQL, sql-reindex)."""


async def _indexes(facts: Facts, component: str, table: Table, index: str | None = None) -> list[dict[str, Json]]:
    """The indexes of a table, and whatever has this name in its schema."""
    given = {"schema": table.schema, "table": table.name, "index": index}
    return await facts.rows(component, INDEXES, given)


def _built(component: str, table: Table, sql: str, invalid: str) -> dict[str, Json]:
    """The effect: invalid indexes of the table whose names match are dropped before, and may not be left after."""
    return {
        "component": component, "schema": table.schema, "table": table.name, "statement": sql, "invalid": invalid,
        "timeout": LONG,
    }  # fmt: skip


class Reindexed(OperationParameters):
    table: TableName = Field(description="the table whose indexes are rebuilt")


@operation(
    "postgres.reindex",
    Risk.SAFE,
    of="postgres",
    idempotent=True,
    parameters=Reindexed,
    doc="Rebuilds the indexes of a table concurrently: readers and writers go on. Invalid leftovers of earlier "
    "attempts are found and dropped first.",
)
class _Reindex(Repeatable):
    async def plan(self, parameters: Reindexed, facts: Facts) -> AsyncIterator[Change]:
        table = await table_now(facts, parameters.of, parameters.table)
        indexes = [one for one in await _indexes(facts, parameters.of, table) if one["of_table"] == table.name]
        evidence = {
            "indexes": [one["name"] for one in indexes if one["valid"]],
            "invalid": [one["name"] for one in indexes if not one["valid"]],
            "bytes": sum(int(one["bytes"] or 0) for one in indexes),
        }
        effect = _built(parameters.of, table, f"REINDEX TABLE CONCURRENTLY {table.sql}", LEFTOVER)
        yield Change("sql-index", effect, evidence, inverse="nothing to undo: the indexes hold the same")


class NewIndex(OperationParameters):
    table: TableName = Field(description="the table to index")
    columns: tuple[Identifier, ...] = Field(min_length=1, description="its columns, in order")
    name: Identifier | None = Field(None, description="name of the index; made of table and columns where left out")
    unique: bool = Field(False, description="whether no two rows may have the same values")
    method: str = Field("btree", pattern="^(btree|hash|gin|gist|brin|spgist)$", description="index method")

    @property
    def index(self) -> str:
        """Its name, never longer than PostgreSQL keeps."""
        made = self.name or f"{self.table.rpartition('.')[2]}_{'_'.join(self.columns)}_idx"
        if len(made.encode()) <= 63:
            return made
        return f"{made.encode()[:40].decode(errors='ignore')}_{hashlib.sha256(made.encode()).hexdigest()[:12]}_idx"


@operation(
    "postgres.create_index",
    Risk.SAFE,
    of="postgres",
    idempotent=True,
    parameters=NewIndex,
    doc="Makes an index concurrently: readers and writers go on. An invalid index of the same name is dropped first; a "
    "valid one stays, and is refused where it is another one.",
)
class _CreateIndex(Repeatable):
    async def plan(self, parameters: NewIndex, facts: Facts) -> AsyncIterator[Change]:
        table = await table_now(facts, parameters.of, parameters.table)
        if table.partitioned:
            raise Refused(
                f"{table.label} is partitioned: PostgreSQL builds no index concurrently over all of it",
                "make the index on each partition",
            )
        await _must_have(facts, parameters, table)
        found = await _indexes(facts, parameters.of, table, parameters.index)
        known = next((one for one in found if one["name"] == parameters.index), None)
        if known and known["valid"] and not _same(known, parameters, table):
            raise Refused(
                f"there is another index {parameters.index} already: {known['definition']}",
                "give the new one another `name`",
            )
        present = bool(known and known["valid"])
        unique = "UNIQUE " if parameters.unique else ""
        columns = ", ".join(quoted(column) for column in parameters.columns)
        sql = (
            f"CREATE {unique}INDEX CONCURRENTLY IF NOT EXISTS {quoted(parameters.index)}"
            f" ON {table.sql} USING {parameters.method} ({columns})"
        )
        drop = f"DROP INDEX CONCURRENTLY IF EXISTS {quoted(table.schema)}.{quoted(parameters.index)}"
        evidence = {**table.told, "present": present, "invalid": [known["name"]] if known and not present else []}
        yield Change(
            "sql-index",
            _built(parameters.of, table, sql, f"^{_escaped(parameters.index)}$"),
            evidence,
            inverse="it was there before" if present else statement(parameters.of, drop, timeout=LONG),
        )


async def _must_have(facts: Facts, parameters: NewIndex, table: Table) -> None:
    rows = await facts.rows(parameters.of, COLUMNS, {"schema": table.schema, "table": table.name})
    columns = [str(row["name"]) for row in rows]
    for column in parameters.columns:
        if column not in columns:
            raise Refused(f"{table.label} has no column {column}", nearest(column, columns))


def _same(known: dict[str, Json], wanted: NewIndex, table: Table) -> bool:
    return (
        known["of_table"] == table.name
        and known["columns"] == list(wanted.columns)
        and known["method"] == wanted.method
        and bool(known["unique"]) == wanted.unique
        and not known["partial"]
    )


def _escaped(name: str) -> str:
    """A name as a regular expression of PostgreSQL that matches only it."""
    return "".join(one if one.isalnum() or one == "_" or ord(one) > 127 else f"\\{one}" for one in name)


class DroppedIndex(OperationParameters):
    table: TableName = Field(description="the table that it indexes")
    index: Identifier = Field(description="the index")


@operation(
    "postgres.drop_index",
    Risk.DISRUPTIVE,
    of="postgres",
    idempotent=True,
    parameters=DroppedIndex,
    doc="Drops an index concurrently. Refused where it upholds a constraint. Undo makes it again.",
)
class _DropIndex(Repeatable):
    async def plan(self, parameters: DroppedIndex, facts: Facts) -> AsyncIterator[Change]:
        table = await table_now(facts, parameters.of, parameters.table)
        found = [one for one in await _indexes(facts, parameters.of, table) if one["of_table"] == table.name]
        known = next((one for one in found if one["name"] == parameters.index), None)
        if known is None:
            raise Refused(
                f"{table.label} has no index {parameters.index}",
                nearest(parameters.index, [str(one["name"]) for one in found]),
            )
        if known["constrained"]:
            raise Refused(f"{parameters.index} upholds a constraint of {table.label}", "drop the constraint instead")
        definition = str(known["definition"]).replace(" INDEX ", " INDEX CONCURRENTLY IF NOT EXISTS ", 1)
        again = _built(parameters.of, table, definition, f"^{_escaped(parameters.index)}$")
        yield statement(
            parameters.of,
            f"DROP INDEX CONCURRENTLY IF EXISTS {quoted(table.schema)}.{quoted(parameters.index)}",
            timeout=LONG,
            evidence={"scans": known["scans"], "bytes": known["bytes"], "definition": known["definition"]},
            inverse=Change("sql-index", again) if known["valid"] else "it was invalid and served nobody",
        )
