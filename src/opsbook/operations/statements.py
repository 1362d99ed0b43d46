"""SQL changes of operations: how a statement is put into a plan, and how names get into it.

Values are always bound. Names of tables, columns and roles cannot be bound: they are quoted by the driver's own rules,
so that whatever a name holds stays a name.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from opsbook.connectors.change import Change, Json

LONGEST_NAME = 63
"""PostgreSQL's NAMEDATALEN - 1; longer names would be cut silently and could mean another object."""


def _one_name(value: str) -> str:
    if not value or "\0" in value or len(value.encode()) > LONGEST_NAME:
        raise ValueError(f"a name has 1 to {LONGEST_NAME} bytes")
    return value


def _table_name(value: str) -> str:
    parts = value.split(".")
    if len(parts) > 2:
        raise ValueError(f"{value!r} is not a table; write `table` or `schema.table`")
    for part in parts:
        _one_name(part)
    return value


Identifier = Annotated[str, AfterValidator(_one_name)]
TableName = Annotated[str, AfterValidator(_table_name)]


def quoted(name: str) -> str:
    """A name as SQL text, quoted."""
    return '"' + name.replace('"', '""') + '"'


def quoted_table(name: str) -> str:
    """`table` or `schema.table` as SQL text, each part quoted."""
    return ".".join(quoted(part) for part in name.split("."))


def statement(
    component: str,
    sql: str,
    parameters: dict[str, Json] | None = None,
    *,
    transaction: bool = True,
    ceiling: int | None = None,
    evidence: Json = None,
    guard: Json = None,
    inverse: Change | str = "it cannot be undone",
) -> Change:
    """One statement that changes something, on the component's admin connection.

    `transaction` is False for what PostgreSQL refuses inside one (VACUUM, CREATE INDEX CONCURRENTLY, ALTER SYSTEM).
    `ceiling` is the most rows it may return or touch: beyond, it is rolled back and refused. `guard` is a query that
    must return true in the same transaction: `{"statement": …, "parameters": …}`.
    """
    effect: dict[str, Json] = {"component": component, "statement": sql, "parameters": parameters or {}, "write": True}
    if not transaction:
        effect["transaction"] = False
    if ceiling is not None:
        effect["ceiling"] = ceiling
    return Change("sql", effect, evidence=evidence, guard=guard, inverse=inverse)
