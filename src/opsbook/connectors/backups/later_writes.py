"""What was written into a live database after the point at which another stands: counted, table by table. Blocking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opsbook.connectors.backups.manifest import TableFacts
from opsbook.connectors.backups.postgres_facts import row_sum
from opsbook.connectors.backups.postgres_restore import Target

SECONDS = 30
"""A table that takes longer to read is not compared."""
LARGEST = 512 << 20
"""Bytes of a table that is compared row by row; of a larger one only the rows are counted."""
NEXT = "SELECT txid_snapshot_xmax(txid_current_snapshot())"


def later_writes(live: Target, then: Target, tables: Sequence[TableFacts]) -> dict[str, Any]:
    """`transactions` that were begun since, at most; `tables` that differ: rows `then` and `now`, and whether rows
    were `changed`; `unknown`, the tables that could not be compared; and the same as `sentences`.
    """
    import psycopg

    told: dict[str, Any] = {"transactions": None, "tables": {}, "unknown": [], "sentences": []}
    with live.session() as connection, then.session() as other:
        connection.execute(f"SET statement_timeout = '{SECONDS}s'".encode())
        now, before = (_next(one) for one in (connection, other))
        told["transactions"] = max(0, now - before)
        for table in tables:
            try:
                if table.bytes <= LARGEST:
                    rows, checksum = row_sum(connection, table.name, table.columns, like=table.checksum)
                    changed = checksum != table.checksum
                else:
                    query = f"SELECT count(*) FROM ONLY {table.name}"  # noqa: S608
                    (rows,) = connection.execute(query.encode()).fetchone() or (0,)
                    changed = rows != table.rows
            except psycopg.errors.UndefinedTable:
                told["tables"][table.name] = {"then": table.rows, "now": None, "changed": True}
            except psycopg.Error:
                told["unknown"].append(table.name)
            else:
                if changed:
                    told["tables"][table.name] = {"then": table.rows, "now": rows, "changed": True}
    told["sentences"] = [_sentence(name, one) for name, one in sorted(told["tables"].items())]
    return told


def _next(connection: Any) -> int:
    (found,) = connection.execute(NEXT).fetchone() or (0,)
    return int(found)


def _sentence(name: str, one: dict[str, Any]) -> str:
    if one["now"] is None:
        return f"{name} was dropped; it had {one['then']:,} rows"
    difference = one["now"] - one["then"]
    if difference == 0:
        return f"{name}: {one['then']:,} rows as then, but not the same"
    word = "more" if difference > 0 else "fewer"
    return f"{name}: {abs(difference):,} rows {word} now ({one['now']:,}) than then ({one['then']:,})"
