"""Rows: purged by age in batches, and one statement explained."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Duration
from opsbook.connectors.change import Change
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation
from opsbook.operations.statements import Identifier, TableName, quoted, quoted_table

COLUMN = """
SELECT a.atttypid::regtype::text AS type,
       EXISTS (SELECT FROM pg_index AS x WHERE x.indrelid = a.attrelid AND x.indkey[0] = a.attnum) AS indexed
FROM pg_attribute AS a
WHERE a.attrelid = to_regclass(%(table)s) AND a.attname = %(column)s AND NOT a.attisdropped
"""
TIMES = ("timestamp with time zone", "timestamp without time zone", "date")


class Purge(OperationParameters):
    table: TableName = Field(description="the table")
    column: Identifier = Field(description="the time column that tells a row's age")
    older_than: Duration = Field(description="rows older than this go")
    batch: int = Field(5000, gt=0, le=100_000, description="rows deleted in one transaction")
    most: int = Field(
        10_000_000, gt=0, description="the most rows that may go; with more it is refused and nothing goes"
    )


@operation(
    "postgres.purge",
    Risk.DESTRUCTIVE,
    of="postgres",
    idempotent=True,
    parameters=Purge,
    doc="Deletes rows by age, a batch a transaction, so that no lock is long and replicas keep up. "
    "Resumes where it was cut. The rows are gone for good.",
)
class _Purge(Repeatable):
    async def plan(self, parameters: Purge, facts: Facts) -> AsyncIterator[Change]:
        table, column = quoted_table(parameters.table), quoted(parameters.column)
        kind = await facts.rows(parameters.of, COLUMN, {"table": table, "column": parameters.column})
        if not kind:
            raise Refused(f"there is no column {parameters.table}.{parameters.column}", "check both names")
        if kind[0]["type"] not in TIMES:
            raise Refused(
                f"{parameters.table}.{parameters.column} is {kind[0]['type']}, not a time", "name its time column"
            )
        seconds = parameters.older_than.total_seconds()
        age = f"{column} < now() - make_interval(secs => %(seconds)s)"
        # Names are quoted identifiers; the age is bound.
        count = f"SELECT count(*) AS rows, min({column})::text AS oldest FROM {table} WHERE {age}"  # noqa: S608
        (seen,) = await facts.rows(parameters.of, count, {"seconds": seconds})
        if int(seen["rows"] or 0) > parameters.most:
            raise Refused(
                f"{seen['rows']:,} rows of {parameters.table} are that old, more than the {parameters.most:,} allowed",
                "raise `most` if that is meant",
            )
        delete = f"DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {age} LIMIT %(batch)s))"  # noqa: S608
        yield Change(
            "batch",
            {
                "component": parameters.of,
                "statement": delete,
                "parameters": {"seconds": seconds, "batch": parameters.batch},
                "ceiling": parameters.most,
            },
            evidence={**seen, "indexed": kind[0]["indexed"]},
            inverse="deleted rows are gone; take a backup first",
        )


class Explain(OperationParameters):
    statement: str = Field(
        min_length=1, description="one SELECT, INSERT, UPDATE or DELETE; $1, $2 … may stand for values"
    )


@operation(
    "postgres.explain",
    Risk.READ,
    of="postgres",
    idempotent=True,
    parameters=Explain,
    doc="Shows how PostgreSQL would run a statement, without running it.",
)
class _Explain(Repeatable):
    async def plan(self, parameters: Explain, facts: Facts) -> AsyncIterator[Change]:
        yield _read(parameters.of, f"EXPLAIN (VERBOSE, SETTINGS, FORMAT TEXT) {parameters.statement}")


def _read(component: str, sql: str) -> Change:
    effect = {"component": component, "statement": sql, "parameters": {}, "write": False}
    return Change("sql", effect, inverse="nothing to undo: nothing changes")


class Query(OperationParameters):
    sql: str = Field(min_length=1, description="one read-only statement")


@operation(
    "postgres.query",
    Risk.READ,
    of="postgres",
    idempotent=True,
    parameters=Query,
    doc="One query in a read-only transaction; hold its rows against an `expect`.",
)
class _Query(Repeatable):
    async def plan(self, parameters: Query, facts: Facts) -> AsyncIterator[Change]:
        yield _read(parameters.of, parameters.sql)
