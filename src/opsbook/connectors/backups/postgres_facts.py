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


def row_sum(
    connection: psycopg.Connection[Any], table: str, columns: Sequence[str], where: str = ""
) -> tuple[int, str]:
    """Rows of a table (schema.table as PostgreSQL quotes it), and their checksum as `TableFacts` defines it.

    Leaves the connection with `SETTINGS`. `where` is SQL. Raises psycopg.Error.
    """
    connection.execute(APPLY)
    row = connection.execute(row_sum_statement(table, columns, where).encode()).fetchone()
    assert row is not None
    return row[0], checksum(row[1])


def checksum(total: Any) -> str:
    """A sum of hashes as it stands in a manifest."""
    return str(int(total) % MODULUS)


def row_sum_statement(table: str, columns: Sequence[str], where: str = "") -> str:
    """The statement behind `row_sum`: count, and the sum of the hashes, both of which may be added up over pieces."""
    row = "ROW(" + ", ".join(quoted(name) for name in columns) + ")"
    condition = f" WHERE {where}" if where else ""
    return (
        f'SELECT count(*), coalesce(sum(hashtextextended({row}::text COLLATE "C", 0)), 0) '  # noqa: S608
        f"FROM ONLY {table}{condition}"
    )


def quoted(name: str) -> str:
    """An identifier that cannot be anything else."""
    return '"' + name.replace('"', '""') + '"'
