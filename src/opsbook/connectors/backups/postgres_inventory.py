"""What a database holds, read under the snapshot of its backup: tables, sequences, owners, settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

from opsbook.connectors.backups.manifest import DatabaseFacts, SequenceFacts
from opsbook.connectors.backups.postgres_facts import quoted
from opsbook.connectors.backups.sources import SourceFailed

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

OF_USERS = r"n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
MEMBER = """
LEFT JOIN pg_depend AS member ON member.classid = 'pg_class'::regclass AND member.objid = c.oid AND member.objsubid = 0
     AND member.refclassid = 'pg_extension'::regclass AND member.deptype = 'e'
LEFT JOIN pg_extension AS x ON x.oid = member.refobjid AND c.oid = ANY (x.extconfig)
"""
"""Tables of an extension are made by it; only those that it calls its configuration are backed up."""
TABLES = f"""
SELECT n.nspname, c.relname, c.oid::bigint, c.relpersistence = 'u', format('%I.%I', n.nspname, c.relname),
       array(SELECT a.attname::text FROM pg_attribute AS a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
             ORDER BY a.attnum),
       pg_relation_size(c.oid) / current_setting('block_size')::int, pg_table_size(c.oid),
       coalesce(x.extcondition[array_position(x.extconfig, c.oid)], ''), coalesce(am.amname, '') = 'heap',
       array(SELECT p.relid::bigint FROM pg_partition_ancestors(c.oid) AS p(relid) WHERE p.relid <> c.oid)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace LEFT JOIN pg_am AS am ON am.oid = c.relam
{MEMBER}
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND {OF_USERS} AND (member.objid IS NULL OR x.oid IS NOT NULL)
ORDER BY c.oid
"""  # noqa: S608
PARTITIONED = f"""
SELECT n.nspname, c.relname, c.oid::bigint FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'p' AND {OF_USERS}
"""  # noqa: S608
SEQUENCES = f"""
SELECT format('%I.%I', n.nspname, c.relname), c.relpersistence = 'u'
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
{MEMBER}
WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {OF_USERS} AND (member.objid IS NULL OR x.oid IS NOT NULL)
ORDER BY 1
"""  # noqa: S608
VIEWS = f"""
SELECT c.oid::bigint, format('%I.%I', n.nspname, c.relname), c.relkind = 'm' AND c.relispopulated,
       array(SELECT DISTINCT d.refobjid::bigint FROM pg_rewrite AS r JOIN pg_depend AS d
             ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
             WHERE r.ev_class = c.oid AND d.refobjid <> c.oid)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm') AND {OF_USERS} ORDER BY c.oid
"""  # noqa: S608
DATABASE = """
SELECT d.datname, pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
       current_setting('server_version_num')::int,
       coalesce((SELECT s.setconfig FROM pg_db_role_setting AS s WHERE s.setdatabase = d.oid AND s.setrole = 0), '{}'),
       (SELECT coalesce(json_object_agg(extname, extversion), '{}') FROM pg_extension)
FROM pg_database AS d WHERE d.datname = current_database()
"""
ROLES = f"""
SELECT DISTINCT name FROM (
  SELECT pg_get_userbyid(s.refobjid) FROM pg_shdepend AS s JOIN pg_database AS d ON d.datname = current_database()
  WHERE s.refclassid = 'pg_authid'::regclass
    AND (s.dbid = d.oid OR (s.classid = 'pg_database'::regclass AND s.objid = d.oid))
  UNION SELECT pg_get_userbyid(d.datdba) FROM pg_database AS d WHERE d.datname = current_database()
  UNION SELECT pg_get_userbyid(n.nspowner) FROM pg_namespace AS n WHERE {OF_USERS}
  UNION SELECT pg_get_userbyid(c.relowner) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE {OF_USERS}
  UNION SELECT pg_get_userbyid(p.proowner) FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE {OF_USERS}
) AS found(name) WHERE name !~ '^pg_' AND name NOT LIKE 'unknown (OID=%' ORDER BY 1
"""  # noqa: S608
MOMENT = """
SELECT CASE WHEN NOT pg_is_in_recovery() THEN now() ELSE least(now(), coalesce(pg_last_xact_replay_timestamp(), now()))
       END, pg_is_in_recovery(),
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text
"""
"""On a standby that has caught up with an idle primary the last transaction may be old: it is told as that old."""
LOCKED_AT_ONCE = 200


@dataclass(frozen=True)
class Table:
    """A table whose rows are copied."""

    schema: str
    table: str
    oid: int
    unlogged: bool
    name: str
    """schema.table as PostgreSQL quotes it."""
    columns: tuple[str, ...]
    pages: int
    size: int
    """Bytes, with what is stored out of line."""
    condition: str
    """WHERE … of an extension's configuration table: its own rows are left out."""
    heap: bool
    above: tuple[int, ...]
    """The partitioned tables that it is a part of."""

    def matches(self, pattern: str) -> bool:
        """Whether `schema.table`, `table`, or a pattern of either means it."""
        names = (f"{self.schema}.{self.table}", self.name)
        return any(fnmatchcase(one, pattern) for one in (*names, *(() if "." in pattern else (self.table,))))


def tables(connection: Connection) -> list[Table]:
    """Every table with rows of its own."""
    found = connection.execute(TABLES.encode()).fetchall()
    return [
        Table(schema, table, oid, unlogged, name, tuple(columns), pages, size, condition, heap, tuple(above))
        for schema, table, oid, unlogged, name, columns, pages, size, condition, heap, above in found
    ]


def chosen(connection: Connection, found: Sequence[Table], patterns: Sequence[str]) -> tuple[list[Table], list[str]]:
    """The tables that the patterns mean, and all names of theirs for pg_dump, with the partitioned ones above.

    Raises SourceFailed for a pattern that means none.
    """
    above = {row[2]: (row[0], row[1]) for row in connection.execute(PARTITIONED.encode()).fetchall()}
    wanted: dict[int, Table] = {}
    for pattern in patterns:
        parents = {oid for oid, (schema, name) in above.items() if _means(pattern, schema, name)}
        fitting = [one for one in found if one.matches(pattern) or parents & set(one.above)]
        if not fitting and not parents:
            raise SourceFailed(f"the database has no table {pattern}", "correct `tables` of the backup")
        wanted |= {one.oid: one for one in fitting}
    names = {f"{quoted(one.schema)}.{quoted(one.table)}" for one in wanted.values()}
    names |= {".".join(map(quoted, above[oid])) for one in wanted.values() for oid in one.above if oid in above}
    return list(wanted.values()), sorted(names)


def lock(connection: Connection, found: Sequence[Table]) -> None:
    """Keep the tables from being changed in structure or dropped until the transaction ends."""
    for at in range(0, len(found), LOCKED_AT_ONCE):
        names = ", ".join(f"ONLY {one.name}" for one in found[at : at + LOCKED_AT_ONCE])
        connection.execute(f"LOCK TABLE {names} IN ACCESS SHARE MODE".encode())


def sequences(connection: Connection, *, standby: bool) -> tuple[SequenceFacts, ...]:
    """Where each sequence stands. Sequences know no snapshot: what is read is never behind it."""
    rows = connection.execute(SEQUENCES.encode()).fetchall()
    facts = []
    for name, unlogged in rows:
        if unlogged and standby:
            continue
        row = connection.execute(f"SELECT last_value, is_called FROM {name}".encode()).fetchone()  # noqa: S608
        assert row is not None
        facts.append(SequenceFacts(name=name, last_value=row[0], is_called=row[1]))
    return tuple(facts)


def database_facts(connection: Connection, snapshot: str) -> DatabaseFacts:
    """All but tables and sequences."""
    row = connection.execute(DATABASE).fetchone()
    moment = connection.execute(MOMENT).fetchone()
    assert row is not None
    assert moment is not None
    settings = dict(one.split("=", 1) for one in row[6])
    roles = [one[0] for one in connection.execute(ROLES.encode()).fetchall()]
    return DatabaseFacts(
        name=row[0],
        owner=row[1],
        encoding=row[2],
        collation=row[3],
        ctype=row[4],
        server_version=row[5],
        lsn=moment[2],
        snapshot=snapshot,
        extensions=row[7],
        settings=settings,
        roles=tuple(roles),
        materialized=_materialized(connection),
        from_replica=moment[1],
    )


def _materialized(connection: Connection) -> tuple[str, ...]:
    rows = connection.execute(VIEWS.encode()).fetchall()
    names = {row[0]: row[1] for row in rows if row[2]}
    known = {row[0] for row in rows}
    order = TopologicalSorter({row[0]: [one for one in row[3] if one in known] for row in rows}).static_order()
    return tuple(names[oid] for oid in order if oid in names)


def _means(pattern: str, schema: str, name: str) -> bool:
    return fnmatchcase(f"{schema}.{name}", pattern) or ("." not in pattern and fnmatchcase(name, pattern))
