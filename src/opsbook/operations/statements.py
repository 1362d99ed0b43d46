"""SQL changes of operations: how a statement is put into a plan, and how names get into it.

Values are always bound. Names of tables, columns and roles cannot be bound: they are quoted by the driver's own rules,
so that whatever a name holds stays a name.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from opsbook.connectors.change import Change, Json
from opsbook.errors import Refused

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


def doubled(name: str) -> str:
    """A quoted name inside a statement that has parameters: there a plain `%` is written `%%`."""
    return name.replace("%", "%%")


def literal(value: str) -> str:
    """A text as SQL literal, for statements that take no bound values (standard_conforming_strings is on)."""
    if "\0" in value:
        raise Refused("PostgreSQL cannot hold a NUL in a text", "give the value without it")
    return "'" + value.replace("'", "''") + "'"


LONG = 86_400.0
"""Seconds that the server allows to work on large tables; the `timeout` of the step ends it sooner."""


def statement(
    component: str,
    sql: str | list[str],
    parameters: dict[str, Json] | None = None,
    *,
    timeout: float | None = None,
    evidence: Json = None,
    guard: Json = None,
    inverse: Change | str = "it cannot be undone",
) -> Change:
    """A statement that changes something, or several in one transaction, over the component's admin connection.

    Without parameters the text goes to the server as it is. `guard` is a query that must return true in the same
    transaction: `{"statement": …, "parameters": …, "says": what is wrong where it does not}`.
    """
    effect: dict[str, Json] = {"component": component, "statement": sql, "parameters": parameters or {}, "write": True}
    if timeout is not None:
        effect["timeout"] = timeout
    return Change("sql", effect, evidence=evidence, guard=guard, inverse=inverse)
