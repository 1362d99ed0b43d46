"""Rows purged by age, a batch a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.references import Reference
from opsbook.book.values import Duration, Name, TimeZone
from opsbook.connectors.change import Change, Json
from opsbook.connectors.objectstore.addresses import open_store
from opsbook.connectors.objectstore.keys import safe
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.postgres_tables import Table, table_now
from opsbook.operations.registry import operation
from opsbook.operations.statements import Identifier, TableName, doubled, quoted

COLUMN = """
SELECT a.atttypid::regtype::text AS type,
       EXISTS (SELECT FROM pg_index AS x
                JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_am AS m ON m.oid = i.relam
               WHERE x.indrelid = a.attrelid AND x.indkey[0] = a.attnum AND x.indisvalid AND x.indpred IS NULL
                 AND m.amname = 'btree') AS indexed,
       (SELECT array_agg(k.conrelid::regclass::text) FROM pg_constraint AS k
         WHERE k.confrelid = a.attrelid AND k.contype = 'f' AND k.confdeltype = 'c') AS cascades
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(table)s AND a.attname = %(column)s AND NOT a.attisdropped
"""
BEFORE = {
    "timestamp with time zone": "now() - make_interval(secs => %(age)s)",
    "timestamp without time zone": "(now() - make_interval(secs => %(age)s)) AT TIME ZONE %(zone)s",
    "date": "((now() - make_interval(secs => %(age)s)) AT TIME ZONE %(zone)s)::date",
}
"""Type of the column → the moment before which a row is too old. The server's clock decides."""


class Purge(OperationParameters):
    table: TableName = Field(description="the table")
    column: Identifier = Field(description="the time column that tells a row's age")
    older_than: Duration = Field(description="rows older than this go")
    batch: int = Field(5000, gt=0, le=100_000, description="rows deleted in one transaction")
    most: int = Field(
        10_000_000, gt=0, description="the most rows that may go; with more it is refused and nothing goes"
    )
    timezone: TimeZone = Field("UTC", description="of a column that holds times without a zone")
    rule: Name | None = Field(
        None, description="the rule of `retention` into whose `archive_to` rows are written before they go"
    )


@operation(
    "postgres.purge",
    Risk.DESTRUCTIVE,
    of="postgres",
    idempotent=True,
    parameters=Purge,
    doc="Deletes rows by age, a batch a transaction, so that no lock is long and replicas keep up. Which rows are old "
    "is fixed when it begins; it resumes where it was cut, and the result says how many went. They are gone for good, "
    "but for what a `rule` archives: compressed, read back and counted before each batch goes.",
)
class _Purge(Repeatable):
    async def plan(self, parameters: Purge, facts: Facts) -> AsyncIterator[Change]:
        if parameters.older_than.total_seconds() <= 0:
            raise Refused("`older_than` is no age: every row would go", "give an age such as 90d")
        table = await table_now(facts, parameters.of, parameters.table)
        column = await _column(facts, parameters, table)
        statements = _statements(table, parameters.column, str(column["type"]), bool(column["indexed"]))
        bound = {"age": parameters.older_than.total_seconds(), "zone": parameters.timezone}
        # Names are quoted identifiers; age and zone are bound.
        sql = (
            f"SELECT count(*) AS rows, min({_name(parameters.column)})::text AS oldest, "  # noqa: S608
            f"({BEFORE[str(column['type'])]})::text AS before "
            f"FROM {doubled(table.sql)} WHERE {_name(parameters.column)} < {BEFORE[str(column['type'])]}"
        )
        (seen,) = await facts.rows(parameters.of, sql, bound)
        if int(seen["rows"] or 0) > parameters.most:
            raise Refused(
                f"{seen['rows']:,} rows of {table.label} are that old, more than the {parameters.most:,} allowed",
                "raise `most` if that is meant",
            )
        effect = {
            "component": parameters.of, **statements, "parameters": bound, "batch": parameters.batch,
            "ceiling": parameters.most,
        }  # fmt: skip
        evidence: dict[str, Json] = {**seen, "table": table.told, "indexed": column["indexed"]}
        if parameters.rule is not None:
            yield await _archiving(parameters, facts, table, column, effect, evidence)
            return
        if column["cascades"]:
            evidence["also deletes in"] = column["cascades"]
        yield Change("batch", effect, evidence, inverse="deleted rows are gone; take a backup first")


async def _archiving(
    parameters: Purge, facts: Facts, table: Table, column: dict[str, Json], effect: dict[str, Json],
    evidence: dict[str, Json],
) -> Change:  # fmt: skip
    """The same rows, written into the store of the rule first. Raises Refused."""
    if column["cascades"]:
        raise Refused(
            f"with rows of {table.label} those of {', '.join(column['cascades'])} would go, and nobody archives them",
            "archive and delete those first, by a rule of their own",
        )
    rules = [one for one in facts.system.model.retention if (one.id or one.table) == parameters.rule and one.table]
    to = rules[0].archive_to if rules else None
    if to is None:
        raise Refused(f"the book has no rule {parameters.rule} of a table with a store", "set its `archive_to`")
    address = await asyncio.to_thread(_address, facts, to)
    name, sql, kind = _name(parameters.column), doubled(table.sql), column["type"]
    order = f" ORDER BY {name}" if column["indexed"] else ""
    choose = (
        f"SELECT tableoid::bigint AS of, ctid::text AS at FROM {sql} "  # noqa: S608  names are quoted identifiers
        f"WHERE {name} < %(before)s::{kind}{order} LIMIT %(batch)s FOR UPDATE SKIP LOCKED"
    )
    archive = {key: effect[key] for key in ("component", "before", "count", "parameters", "batch", "ceiling")}
    archive |= {"table": table.sql, "name": table.label, "column": quoted(parameters.column), "choose": choose}
    inverse = "the rows lie in the store: unpack with `zstd -d`, and load with `COPY … FROM … (FORMAT csv, HEADER)`"
    return Change("rows-archive", {**archive, "to": to.text}, {**evidence, "store": address}, inverse=inverse)


def _address(facts: Facts, to: Reference) -> str:
    """The store as the book wrote it; it can be opened. Raises UsageError, MissingSecret."""
    store = open_store(facts.system, to, safe(facts.system.model.system))
    store.close()
    return store.address


async def _column(facts: Facts, parameters: Purge, table: Table) -> dict[str, Json]:
    given = {"schema": table.schema, "table": table.name, "column": parameters.column}
    found = await facts.rows(parameters.of, COLUMN, given)
    if not found:
        raise Refused(f"there is no column {table.label}.{parameters.column}", "check its name")
    if found[0]["type"] not in BEFORE:
        raise Refused(f"{table.label}.{parameters.column} is {found[0]['type']}, not a time", "name its time column")
    return found[0]


def _name(column: str) -> str:
    return doubled(quoted(column))


def _statements(table: Table, column: str, kind: str, indexed: bool) -> dict[str, str]:
    """`before` fixes the moment, `count` counts to the ceiling, `delete` deletes a batch.

    With an index each batch begins at the oldest row that the one before left (`from`), so that it does not read the
    dead rows of all before it again. The age stands in the outer condition too: a row that was renewed meanwhile stays,
    and row numbers mean nothing across the partitions of a table.
    """
    name, sql = _name(column), doubled(table.sql)
    old = f"{name} < %(before)s::{kind}"
    start = f" AND (%(from)s::{kind} IS NULL OR {name} >= %(from)s::{kind}) ORDER BY {name}" if indexed else ""
    chosen = f"SELECT ctid FROM {sql} WHERE {old}{start} LIMIT %(batch)s"  # noqa: S608
    return {
        "before": f"SELECT ({BEFORE[kind]})::text AS before",
        "count": f"SELECT count(*) AS rows FROM (SELECT FROM {sql} WHERE {old} LIMIT %(limit)s) AS old",  # noqa: S608
        "delete": (
            f"WITH gone AS (DELETE FROM {sql} WHERE ctid = ANY (ARRAY({chosen})) AND {old} RETURNING {name} AS at) "  # noqa: S608
            "SELECT count(*) AS rows, max(at)::text AS last FROM gone"
        ),
    }
