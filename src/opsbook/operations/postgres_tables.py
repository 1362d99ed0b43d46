"""Tables as operations name them: found whatever the search path is, and always written with their schema.

The role that plans and the role that changes may have different search paths: a bare name could mean two tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from opsbook.book.words import nearest
from opsbook.connectors.change import Json
from opsbook.errors import Refused
from opsbook.operations.contract import Facts
from opsbook.operations.statements import quoted

SHOWN = 20
"""Tables that evidence names; the rest is counted."""

TABLES = """
SELECT n.nspname AS schema, c.relname AS name, c.relkind = 'p' AS partitioned,
       coalesce(s.n_live_tup, 0) AS live, coalesce(s.n_dead_tup, 0) AS dead,
       coalesce((SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(c.oid)),
                pg_total_relation_size(c.oid))::bigint AS bytes
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_all_tables AS s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND (%(names)s::text[] IS NULL OR c.relname::text = ANY (%(names)s)
       OR n.nspname || '.' || c.relname = ANY (%(names)s))
ORDER BY 5 DESC, 1, 2
LIMIT 5000
"""


@dataclass(frozen=True)
class Table:
    """One table and what is known of it. Rows are the statistics' estimate."""

    schema: str
    name: str
    partitioned: bool
    live: int
    dead: int
    bytes: int

    @property
    def sql(self) -> str:
        """Its name with its schema, quoted."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    @property
    def label(self) -> str:
        """Its name for people."""
        return f"{self.schema}.{self.name}"

    @property
    def told(self) -> dict[str, Json]:
        """As evidence."""
        return {"name": self.label, "live": self.live, "dead": self.dead, "bytes": self.bytes}


async def tables_now(facts: Facts, component: str, names: Sequence[str] = ()) -> list[Table]:
    """The named tables, in their order; without names all of the database, most dead rows first.

    Raises Refused for one that is not there, and for a bare name that several schemas have.
    """
    rows = await facts.rows(component, TABLES, {"names": list(names) or None})
    found = [_table(row) for row in rows]
    return [_chosen(component, name, found) for name in names] if names else found


async def table_now(facts: Facts, component: str, name: str) -> Table:
    """One of them."""
    (found,) = await tables_now(facts, component, (name,))
    return found


def _table(row: dict[str, Json]) -> Table:
    return Table(
        str(row["schema"]), str(row["name"]), bool(row["partitioned"]), int(row["live"]), int(row["dead"]),
        int(row["bytes"] or 0),
    )  # fmt: skip


def _chosen(component: str, name: str, found: Sequence[Table]) -> Table:
    matching = [table for table in found if name in (table.label, table.name)]
    if not matching:
        raise Refused(
            f"{component} has no table {name}, or this role may not see its schema",
            nearest(name, [table.label for table in found]) or "see `\\dt *.*` in `opsbook shell`",
        )
    if len(matching) > 1:
        raise Refused(
            f"several schemas of {component} have a table {name}: {', '.join(table.label for table in matching)}",
            "write it as schema.table",
        )
    return matching[0]


def evidence_of(tables: Sequence[Table]) -> dict[str, Json]:
    """What a plan shows of tables."""
    return {"tables": [table.told for table in tables[:SHOWN]], "more": max(0, len(tables) - SHOWN)}
