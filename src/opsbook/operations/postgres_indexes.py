"""Indexes: rebuilt and made without locking writers out, and the invalid leftovers of attempts that failed removed."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.postgres_vacuum import tables_now
from opsbook.operations.registry import operation
from opsbook.operations.statements import Identifier, TableName, quoted, quoted_table, statement

INDEXES = """
SELECT n.nspname AS schema, i.relname AS name, x.indisvalid AS valid, pg_relation_size(i.oid) AS bytes
FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_namespace AS n ON n.oid = i.relnamespace
WHERE x.indrelid = to_regclass(%(table)s)
ORDER BY i.relname
"""
# Suffixes that REINDEX CONCURRENTLY gives to what it builds and to what it replaces (PostgreSQL, sql-reindex).
LEFTOVER = ("_ccnew", "_ccold")


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
        await tables_now(facts, parameters.of, (parameters.table,))
        indexes = await facts.rows(parameters.of, INDEXES, {"table": quoted_table(parameters.table)})
        for index in indexes:
            if not index["valid"] and str(index["name"]).rstrip("0123456789").endswith(LEFTOVER):
                name = f"{quoted(str(index['schema']))}.{quoted(str(index['name']))}"
                yield statement(
                    parameters.of,
                    f"DROP INDEX CONCURRENTLY IF EXISTS {name}",
                    transaction=False,
                    evidence={"bytes": index["bytes"], "why": "the invalid leftover of a rebuild that failed"},
                    inverse="nothing to undo: an invalid index serves nobody",
                )
        yield statement(
            parameters.of,
            f"REINDEX TABLE CONCURRENTLY {quoted_table(parameters.table)}",
            transaction=False,
            evidence={
                "indexes": [index["name"] for index in indexes],
                "bytes": sum(int(i["bytes"] or 0) for i in indexes),
            },
            inverse="nothing to undo: the indexes hold the same",
        )


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
        return f"{made[:40]}_{hashlib.sha256(made.encode()).hexdigest()[:12]}_idx"

    @property
    def qualified(self) -> str:
        """Its name with the table's schema, quoted."""
        schema = self.table.rpartition(".")[0]
        return f"{quoted(schema)}.{quoted(self.index)}" if schema else quoted(self.index)


@operation(
    "postgres.create_index",
    Risk.SAFE,
    of="postgres",
    idempotent=True,
    parameters=NewIndex,
    doc="Makes an index concurrently: readers and writers go on. An invalid index of the same name is dropped first; a "
    "valid one stays.",
)
class _CreateIndex(Repeatable):
    async def plan(self, parameters: NewIndex, facts: Facts) -> AsyncIterator[Change]:
        (table,) = await tables_now(facts, parameters.of, (parameters.table,))
        present = {
            str(i["name"]): i
            for i in await facts.rows(parameters.of, INDEXES, {"table": quoted_table(parameters.table)})
        }
        known = present.get(parameters.index)
        drop = f"DROP INDEX CONCURRENTLY IF EXISTS {parameters.qualified}"
        if known and not known["valid"]:
            why = {"why": "an invalid index of this name is left from an attempt that failed"}
            yield statement(
                parameters.of, drop, transaction=False, evidence=why, inverse="an invalid index serves nobody"
            )
        unique = "UNIQUE " if parameters.unique else ""
        columns = ", ".join(quoted(column) for column in parameters.columns)
        yield statement(
            parameters.of,
            f"CREATE {unique}INDEX CONCURRENTLY IF NOT EXISTS {quoted(parameters.index)}"
            f" ON {quoted_table(parameters.table)} USING {parameters.method} ({columns})",
            transaction=False,
            evidence={"rows": table["live"], "bytes": table["bytes"], "present": bool(known and known["valid"])},
            inverse="it was there before"
            if known and known["valid"]
            else statement(parameters.of, drop, transaction=False),
        )


class DroppedIndex(OperationParameters):
    table: TableName = Field(description="the table that it indexes")
    index: Identifier = Field(description="the index")


@operation(
    "postgres.drop_index",
    Risk.DISRUPTIVE,
    of="postgres",
    idempotent=True,
    parameters=DroppedIndex,
    doc="Drops an index concurrently. Refused where it upholds a constraint.",
)
class _DropIndex(Repeatable):
    async def plan(self, parameters: DroppedIndex, facts: Facts) -> AsyncIterator[Change]:
        rows = await facts.rows(
            parameters.of, DEFINITION, {"table": quoted_table(parameters.table), "index": parameters.index}
        )
        if not rows:
            raise Refused(f"{parameters.table} has no index {parameters.index}", "see `\\d` in `opsbook shell`")
        (row,) = rows
        if row["constrained"]:
            raise Refused(
                f"{parameters.index} upholds a constraint of {parameters.table}", "drop the constraint, if you must"
            )
        schema = quoted(str(row["schema"]))
        yield statement(
            parameters.of,
            f"DROP INDEX CONCURRENTLY IF EXISTS {schema}.{quoted(parameters.index)}",
            transaction=False,
            evidence={"scans": row["scans"], "bytes": row["bytes"], "definition": row["definition"]},
            inverse=statement(
                parameters.of,
                str(row["definition"]).replace(" INDEX ", " INDEX CONCURRENTLY IF NOT EXISTS ", 1),
                transaction=False,
            ),
        )


DEFINITION = """
SELECT n.nspname AS schema, pg_get_indexdef(i.oid) AS definition, pg_relation_size(i.oid) AS bytes, s.idx_scan AS scans,
       EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = i.oid) AS constrained
FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_namespace AS n ON n.oid = i.relnamespace
LEFT JOIN pg_stat_user_indexes AS s ON s.indexrelid = i.oid
WHERE x.indrelid = to_regclass(%(table)s) AND i.relname = %(index)s
"""
