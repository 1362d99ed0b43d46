"""Rows of chosen tables of one database into another of the same server, all of them in one transaction. Blocking.

Whoever looks meanwhile sees the rows from before; afterwards those of the source. Triggers do not fire and foreign keys
are not checked row by row (session_replication_role); instead every key from and to these tables is counted before the
end, and one that does not hold takes all of it back.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opsbook.connectors.backups.manifest import DatabaseFacts, SequenceFacts, TableFacts
from opsbook.connectors.backups.postgres_facts import quoted
from opsbook.connectors.backups.postgres_restore import Interrupted, Target, sequences_of
from opsbook.connectors.change import ChangeFailed

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

LOCK_SECONDS = 10
KEYS = """
SELECT k.conname::text, format('%%I.%%I', cn.nspname, c.relname), format('%%I.%%I', pn.nspname, p.relname),
       array(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS x(n, i)
             JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = x.n ORDER BY x.i),
       array(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS x(n, i)
             JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = x.n ORDER BY x.i)
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_namespace AS cn ON cn.oid = c.relnamespace
JOIN pg_class AS p ON p.oid = k.confrelid JOIN pg_namespace AS pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND k.convalidated AND (k.conrelid = ANY (%(touched)s) OR k.confrelid = ANY (%(touched)s))
"""
TOUCHED = """
SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE format('%%I.%%I', n.nspname, c.relname) = ANY (%(tables)s)
UNION SELECT a.relid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace,
      pg_partition_ancestors(c.oid) AS a WHERE format('%%I.%%I', n.nspname, c.relname) = ANY (%(tables)s)
"""


@dataclass
class Replaced:
    """What was replaced, by table."""

    removed: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


def replace_rows(
    source: Target, live: Target, facts: DatabaseFacts, names: Sequence[str], stop: threading.Event
) -> Replaced:
    """The rows of these tables become those of the source. Raises ChangeFailed where nothing was changed."""
    import psycopg

    tables = [one for one in facts.tables if one.name in names]
    found = Replaced()
    with source.session() as reading, live.session() as writing:
        try:
            with writing.transaction():
                writing.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'".encode())
                writing.execute("SET LOCAL statement_timeout = 0")
                writing.execute("SET LOCAL session_replication_role = replica")
                listed = ", ".join(f"ONLY {one.name}" for one in tables)
                writing.execute(f"LOCK TABLE {listed} IN ACCESS EXCLUSIVE MODE".encode())
                for table in tables:
                    found.removed[table.name] = writing.execute(f"DELETE FROM ONLY {table.name}".encode()).rowcount  # noqa: S608
                    found.rows[table.name] = _copy(reading, writing, table, stop)
                _keys_hold(writing, [one.name for one in tables])
        except psycopg.Error as error:
            told = error.diag.message_primary or str(error)
            raise ChangeFailed(f"the rows were not replaced: {told}", "nothing was changed") from error
        owned = sequences_of(live, frozenset(names))
        _advance(writing, [one for one in facts.sequences if one.name in owned])
    return found


def _copy(reading: Connection, writing: Connection, table: TableFacts, stop: threading.Event) -> int:
    columns = ", ".join(quoted(name) for name in table.columns)
    listed = f" ({columns})" if columns else ""
    with reading.cursor() as one, writing.cursor() as other:
        with (
            one.copy(f"COPY {table.name}{listed} TO STDOUT".encode()) as out,
            other.copy(f"COPY {table.name}{listed} FROM STDIN".encode()) as into,
        ):
            for block in out:
                if stop.is_set():
                    raise Interrupted("the restore was stopped")
                into.write(block)
        return other.rowcount


def _keys_hold(connection: Connection, tables: Sequence[str]) -> None:
    """Raises ChangeFailed with the first foreign key that does not hold, and how many rows break it."""
    touched = [row[0] for row in connection.execute(TOUCHED, {"tables": list(tables)})]
    for name, child, parent, columns, others in connection.execute(KEYS, {"touched": touched}).fetchall():
        there = " AND ".join(f"p.{quoted(b)} = c.{quoted(a)}" for a, b in zip(columns, others, strict=True))
        given = " AND ".join(f"c.{quoted(one)} IS NOT NULL" for one in columns)
        statement = (
            f"SELECT count(*) FROM {child} AS c WHERE {given} "  # noqa: S608
            f"AND NOT EXISTS (SELECT FROM {parent} AS p WHERE {there})"
        )
        ((broken,),) = connection.execute(statement.encode()).fetchall()
        if broken:
            raise ChangeFailed(
                f"{broken:,} rows of {child} would point to rows of {parent} that are not there ({name})",
                f"nothing was changed; restore {parent} and {child} together",
            )


def _advance(connection: Connection, sequences: Sequence[SequenceFacts]) -> None:
    """No sequence goes back: what was given out since would be given again."""
    for one in sequences:
        statement = f"SELECT setval('{one.name}', greatest(last_value, {one.last_value})) FROM {one.name}"  # noqa: S608
        if one.is_called:
            connection.execute(statement.encode())
