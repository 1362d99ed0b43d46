"""Looking: one query, and how PostgreSQL would run a statement. Neither changes anything."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change, Json
from opsbook.connectors.sql_text import Lexeme, head, spans, split_statements
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation

EXPLAINED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "VALUES", "MERGE", "TABLE")


class Explain(OperationParameters):
    statement: str = Field(
        min_length=1, description="one SELECT, INSERT, UPDATE, DELETE or MERGE; $1, $2 … may stand for values"
    )


@operation(
    "postgres.explain",
    Risk.READ,
    of="postgres",
    idempotent=True,
    parameters=Explain,
    doc="Shows how PostgreSQL would run a statement, without running it, by the role that only reads. Statements as "
    "pg_stat_statements shows them can be given as they are: their $1 are planned for any value.",
)
class _Explain(Repeatable):
    async def plan(self, parameters: Explain, facts: Facts) -> AsyncIterator[Change]:
        sql = _only(parameters.statement)
        if head(sql, 1) not in (*EXPLAINED, "("):
            raise Refused(f"PostgreSQL explains no {head(sql, 1) or 'such statement'}", f"give a {EXPLAINED[0]}")
        yield _read(parameters.of, explaining(sql))


def explaining(sql: str) -> str | list[str]:
    """What to send for the plan of one statement, the same for every version from 12.

    EXPLAIN (GENERIC_PLAN) of version 16 takes `$1` in the simple protocol only, where a text may hold two statements.
    """
    count = placeholders(sql)
    if not count:
        return f"EXPLAIN (VERBOSE, SETTINGS) {sql}"
    return [
        "SELECT set_config('plan_cache_mode', 'force_generic_plan', true)",
        f"PREPARE opsbook_explained AS {sql}",
        f"EXPLAIN (VERBOSE, SETTINGS) EXECUTE opsbook_explained({', '.join(['NULL'] * count)})",
    ]


def placeholders(sql: str) -> int:
    """The highest number of its placeholders: 2 for `$1, $2`; what is quoted does not count."""
    code = [sql[span.start : span.end] for span in spans(sql) if span.kind is Lexeme.CODE]
    numbers = [int(number) for text in code for number in re.findall(r"(?<![\w$])\$(\d+)", text)]
    return max(numbers, default=0)


def _only(text: str) -> str:
    found = split_statements(text)
    if len(found) != 1:
        raise Refused(f"there are {len(found)} statements", "give exactly one")
    start, end = found[0]
    return text[start:end]


def _read(component: str, sql: str | list[str]) -> Change:
    effect: dict[str, Json] = {"component": component, "statement": sql, "parameters": {}, "write": False}
    return Change("sql", effect, inverse="nothing to undo: nothing changes")


class Query(OperationParameters):
    sql: str = Field(min_length=1, description="one statement that reads")


@operation(
    "postgres.query",
    Risk.READ,
    of="postgres",
    idempotent=True,
    parameters=Query,
    doc="One query in a read-only transaction; hold its `rows`, `value` or `records` against an `expect`.",
)
class _Query(Repeatable):
    async def plan(self, parameters: Query, facts: Facts) -> AsyncIterator[Change]:
        yield _read(parameters.of, _only(parameters.sql))
