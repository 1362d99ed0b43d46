"""What a database holds, in figures that a restored one can be held against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

SETTINGS = {
    "search_path": "pg_catalog",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmloption": "content",
    "row_security": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
"""Under which rows have one text: what is read must not depend on a role's or database's own settings."""
APPLY = "SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in SETTINGS.items())
MODULUS = 1 << 64
RECORDS_SINCE = 140_000
"""From this `server_version_num` on a row is hashed as it lies there, in less than half the time of its text."""
RECORD = "record:"
"""Begins a checksum over rows as they lie there; one over their text is a bare number."""
AS_IT_IS = frozenset({
    "bool", "int2", "int4", "int8", "oid", "float4", "float8", "numeric", "uuid", "bytea", "date", "time", "timestamp",
    "timestamptz", "jsonb", "name", "char",
})  # fmt: skip
"""Types of pg_catalog whose own hash is of all that a value is; of every other type the text is hashed."""
TEXTS = frozenset({"text", "varchar"})
TYPES = """
SELECT a.attname::text, CASE WHEN n.nspname = 'pg_catalog' THEN t.typname::text ELSE '' END
FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid JOIN pg_namespace AS n ON n.oid = t.typnamespace
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
"""


def row_sum(
    connection: psycopg.Connection[Any], table: str, columns: Sequence[str], where: str = "", like: str = ""
) -> tuple[int, str]:
    """Rows of a table (schema.table as PostgreSQL quotes it), and their checksum as `TableFacts` defines it.

    `like` is the checksum that it will be held against: it is made in the same way. Leaves the connection with
    `SETTINGS`. `where` is SQL. Raises psycopg.Error.
    """
    connection.execute(APPLY)
    as_text = connection.info.server_version < RECORDS_SINCE or (bool(like) and not like.startswith(RECORD))
    row = connection.execute(row_sum_statement(connection, table, columns, where, as_text=as_text).encode()).fetchone()
    assert row is not None
    return row[0], checksum(row[1], as_text=as_text)


def checksum(total: Any, *, as_text: bool = False) -> str:
    """A sum of hashes as it stands in a manifest."""
    return ("" if as_text else RECORD) + str(int(total) % MODULUS)


def row_sum_statement(
    connection: psycopg.Connection[Any], table: str, columns: Sequence[str], where: str = "", *, as_text: bool = False
) -> str:
    """The statement behind `row_sum`: count, and the sum of the hashes, both of which may be added up over pieces.

    Equal values of some types are not the same (citext, intervals), and a collation may call texts equal that are not:
    such columns go in as text by bytes.
    """
    names = ", ".join(quoted(name) for name in columns)
    hashed = f'hashtextextended(ROW({names})::text COLLATE "C", 0)'
    if not as_text:
        types = {str(name): str(kind) for name, kind in connection.execute(TYPES, (table,)).fetchall()}
        hashed = f"hash_record_extended(ROW({', '.join(_value(name, types.get(name, '')) for name in columns)}), 0)"
    condition = f" WHERE {where}" if where else ""
    return f"SELECT count(*), coalesce(sum({hashed}), 0) FROM ONLY {table}{condition}"  # noqa: S608


def _value(column: str, kind: str) -> str:
    if kind in AS_IT_IS:
        return quoted(column)
    return f'{quoted(column)}{"" if kind in TEXTS else "::text"} COLLATE "C"'


def quoted(name: str) -> str:
    """An identifier that cannot be anything else."""
    return '"' + name.replace('"', '""') + '"'
