"""What a restored database holds, against what the manifest says that the source held. Every difference is named.

Blocking: it is called from threads. It changes nothing: what it must create to look (amcheck) is rolled back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opsbook.connectors.backups.manifest import DatabaseFacts, TableFacts
from opsbook.connectors.backups.postgres_facts import row_sum
from opsbook.connectors.backups.postgres_restore import Target, in_parallel
from opsbook.connectors.change import Json
from opsbook.connectors.plain_values import plain
from opsbook.errors import OpsbookError

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

Judge = Callable[[str, Mapping[str, Json]], bool]
"""Whether an expression over `rows` and `value` holds. Raises OpsbookError where it cannot be told."""

ASSERTION_SECONDS = 300
SMOKE_TABLES = 20
OF_USERS = r"n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
MEMBER = "EXISTS (SELECT FROM pg_depend AS x WHERE x.objid = c.oid AND x.deptype = 'e')"

TABLES = f"""
SELECT format('%I.%I', n.nspname, c.relname),
       array(SELECT a.attname::text FROM pg_attribute AS a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
             ORDER BY a.attnum),
       {MEMBER}
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND {OF_USERS}
"""  # noqa: S608
SEQUENCES = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'S'
"""
INVALID_INDEXES = f"""
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE NOT (i.indisvalid AND i.indisready) AND {OF_USERS} ORDER BY 1
"""  # noqa: S608
INVALID_CONSTRAINTS = f"""
SELECT format('%I.%I: %I', n.nspname, c.relname, k.conname) FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE NOT k.convalidated AND {OF_USERS} ORDER BY 1
"""  # noqa: S608
EMPTY_VIEWS = f"""
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND NOT c.relispopulated AND {OF_USERS}
"""  # noqa: S608
COUNTS = f"""
SELECT (SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('i', 'I') AND {OF_USERS}),
       (SELECT count(*) FROM pg_constraint AS k JOIN pg_namespace AS n ON n.oid = k.connamespace WHERE {OF_USERS}),
       (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal),
       (SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('v', 'm') AND {OF_USERS}),
       (SELECT count(*) FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE {OF_USERS})
"""  # noqa: S608
DATABASE = """
SELECT pg_encoding_to_char(d.encoding), d.datcollate, pg_get_userbyid(d.datdba)
FROM pg_database AS d WHERE d.datname = current_database()
"""
CHECK_INDEX = "SELECT bt_index_check(%s::regclass)"
CHECK_TABLE = "SELECT blkno, msg FROM verify_heapam(%s::regclass)"
AMCHECK_INDEXES = f"""
SELECT c.oid::regclass::text FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_am AS a ON a.oid = c.relam JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE a.amname = 'btree' AND c.relkind = 'i' AND i.indisvalid AND c.relpersistence <> 't' AND {OF_USERS}
"""  # noqa: S608
AMCHECK_TABLES = f"""
SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND {OF_USERS}
"""  # noqa: S608


@dataclass(frozen=True)
class Asked:
    """An assertion of the book, and what the database answered."""

    id: str
    title: str
    holds: bool
    rows: int
    value: Json
    message: str
    """One sentence, where it does not hold."""


@dataclass
class Verified:
    """What was found."""

    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """Differences that lose nothing: another version of an extension, another order of sorting."""
    tables: int = 0
    rows: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    amcheck: bool = False

    @property
    def good(self) -> bool:
        return not self.problems


def verify(
    target: Target,
    facts: DatabaseFacts,
    *,
    jobs: int = 1,
    only: frozenset[str] = frozenset(),
    scratch: bool = False,
    amcheck: bool = True,
    stop: threading.Event | None = None,
) -> Verified:
    """Hold the database against the facts. `only` are the tables whose rows are here; in a scratch server owners and
    settings of the database are not the source's. Raises ChangeFailed where the database cannot be asked.
    """
    stop = stop or threading.Event()
    found = Verified()
    with target.session() as connection:
        members = _structure(connection, facts, found)
        _sequences(connection, facts, found, only)
        _surroundings(connection, facts, found, scratch)
        names = ("indexes", "constraints", "triggers", "views", "functions")
        (row,) = connection.execute(COUNTS.encode()).fetchall()
        found.counts = {"tables": len(facts.tables), **dict(zip(names, map(int, row), strict=True))}
    # Of an extension's own table the backup has only the rows that users added; the others are the extension's.
    wanted = [
        one
        for one in sorted(facts.tables, key=lambda one: -one.bytes)
        if one.name not in members and (not only or one.name in only)
    ]
    with ThreadPoolExecutor(1, "opsbook-amcheck") as beside:
        looking = beside.submit(look_by_amcheck, target, found, stop) if amcheck else None
        for told, rows in in_parallel(jobs, wanted, lambda table: _rows(target, table), stop):
            found.problems += told
            found.rows += rows
        if looking is not None:
            looking.result()
    found.tables = len(wanted)
    return found


def _structure(connection: Connection, facts: DatabaseFacts, found: Verified) -> set[str]:
    """The tables that belong to extensions."""
    rows = connection.execute(TABLES.encode()).fetchall()
    here = {str(name): tuple(columns) for name, columns, _ in rows}
    members = {str(name) for name, _, member in rows if member}
    for table in facts.tables:
        if table.name not in here:
            found.problems.append(f"the table {table.name} is missing")
        elif set(table.columns) != set(here[table.name]):
            lacking = ", ".join(sorted(set(table.columns) - set(here[table.name])))
            more = ", ".join(sorted(set(here[table.name]) - set(table.columns)))
            told = " and ".join(filter(None, (lacking and f"lacks {lacking}", more and f"has {more} besides")))
            found.problems.append(f"the table {table.name} {told}")
    known = {table.name for table in facts.tables}
    found.remarks += [f"the backup has no rows of the table {name}" for name in sorted(set(here) - known - members)]
    found.problems += [f"the index {name} is not valid" for (name,) in connection.execute(INVALID_INDEXES.encode())]
    # A constraint that was NOT VALID at the source is so here.
    found.remarks += [
        f"the constraint {name} is not validated" for (name,) in connection.execute(INVALID_CONSTRAINTS.encode())
    ]
    found.problems += [
        f"the materialized view {name} is empty" for (name,) in connection.execute(EMPTY_VIEWS.encode())
        if str(name) in facts.materialized
    ]  # fmt: skip
    return members


def _sequences(connection: Connection, facts: DatabaseFacts, found: Verified, only: frozenset[str]) -> None:
    here = {str(name) for (name,) in connection.execute(SEQUENCES)}
    for one in facts.sequences:
        if one.name not in here:
            found.problems.append(f"the sequence {one.name} is missing")
        elif not only:
            statement = f"SELECT last_value, is_called FROM {one.name}"  # noqa: S608
            ((value, called),) = connection.execute(statement.encode()).fetchall()
            if (value, called) != (one.last_value, one.is_called):
                found.problems.append(f"the sequence {one.name} is at {value}, not at {one.last_value}")


def _surroundings(connection: Connection, facts: DatabaseFacts, found: Verified, scratch: bool) -> None:
    here = {
        str(name): str(version) for name, version in connection.execute("SELECT extname, extversion FROM pg_extension")
    }
    for name, version in facts.extensions.items():
        if name not in here:
            found.problems.append(f"the extension {name} is missing")
        elif here[name] != version:
            found.remarks.append(f"the extension {name} is {here[name]} here and was {version}")
    ((encoding, collation, owner),) = connection.execute(DATABASE).fetchall()
    if encoding != facts.encoding:
        found.problems.append(f"the encoding is {encoding}, not {facts.encoding}")
    if collation != facts.collation:
        found.remarks.append(f"it sorts by {collation} here, and by {facts.collation} at the source")
    if not scratch and owner != facts.owner:
        found.problems.append(f"the database belongs to {owner}, not to {facts.owner}")
    query = "SELECT rolname::text FROM pg_roles WHERE rolname = ANY (%s)"
    roles = {str(row[0]) for row in connection.execute(query, (list(facts.roles),))}
    found.problems += [f"the role {role} is missing" for role in facts.roles if role not in roles]


def _rows(target: Target, table: TableFacts) -> tuple[list[str], int]:
    import psycopg

    with target.session() as connection:
        try:
            rows, checksum = row_sum(connection, table.name, table.columns, like=table.checksum)
        except psycopg.Error as error:
            return [f"the table {table.name} cannot be read: {error.diag.message_primary or error}"], 0
    if rows != table.rows:
        return [f"the table {table.name} has {rows:,} rows, not {table.rows:,}"], rows
    if table.checksum and checksum != table.checksum:
        return [f"the table {table.name} has {rows:,} rows as it should, but not the same ones: checksums differ"], rows
    return [], rows


def look_by_amcheck(target: Target, found: Verified, stop: threading.Event, *, every_row: bool = False) -> None:
    """Look at every B-tree and heap, where the extension can be had; it is created and rolled back. `every_row`: that
    each has its entries too, which reads the heap for every index. Indexes that were just built of it need that not.
    """
    import psycopg

    with target.session() as connection:
        (available,) = connection.execute(
            "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'amcheck')"
        ).fetchone() or (False,)
        if not available:
            found.remarks.append("amcheck is not installed: B-trees were not looked at")
            return
        calls = [
            (f"SELECT bt_index_check(%s::regclass, {str(every_row).lower()})", str(name))
            for (name,) in connection.execute(AMCHECK_INDEXES.encode())
        ]
        calls += [
            ("SELECT blkno, msg FROM verify_heapam(%s::regclass)", str(name))
            for (name,) in connection.execute(AMCHECK_TABLES.encode())
        ]
        try:
            connection.execute("BEGIN")
            connection.execute("CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA pg_catalog")
        except psycopg.Error as error:
            connection.execute("ROLLBACK")
            found.remarks.append(f"amcheck cannot be used: {error.diag.message_primary}")
            return
        for call, name in calls:
            try:
                connection.execute("SAVEPOINT one")
                rows = connection.execute(call.encode(), (name,)).fetchall() if not stop.is_set() else []
                if call == CHECK_TABLE:
                    found.problems += [f"{name}, block {block}: {words}" for block, words in rows[:5]]
                connection.execute("RELEASE one")
            except psycopg.Error as error:
                connection.execute("ROLLBACK TO one")
                found.problems.append(f"{name}: {error.diag.message_primary}")
        connection.execute("ROLLBACK")
        found.amcheck = True


def ask(target: Target, assertions: Iterable[tuple[str, str, str, str]], judge: Judge) -> list[Asked]:
    """Each assertion (id, title, sql, expect) asked in a read-only transaction and judged."""
    found = []
    for identity, title, sql, expect in assertions:
        found.append(_asked(target, identity, title or identity, sql, expect, judge))
    return found


def _asked(target: Target, identity: str, title: str, sql: str, expect: str, judge: Judge) -> Asked:
    import psycopg

    try:
        with target.session() as connection:
            connection.execute("BEGIN READ ONLY")
            connection.execute(f"SET LOCAL statement_timeout = '{ASSERTION_SECONDS}s'".encode())
            cursor = connection.execute(sql.encode())
            rows = cursor.fetchmany(10_000) if cursor.description else []
            count = max(cursor.rowcount, len(rows))
            value = plain(rows[0][0]) if rows and rows[0] else None
            connection.execute("ROLLBACK")
        if judge(expect, {"rows": count, "value": value}):
            return Asked(identity, title, True, count, value, "")
        said = f"value is {value}" if count else "there are no rows"
        return Asked(identity, title, False, count, value, f"{title}: `{expect}` does not hold: {said}, rows {count}")
    except psycopg.Error as error:
        return Asked(identity, title, False, 0, None, f"{title}: {error.diag.message_primary or error}")
    except OpsbookError as error:
        return Asked(identity, title, False, 0, None, f"{title}: {error.message}")


def smoke(target: Target, tables: Sequence[TableFacts]) -> list[str]:
    """What is wrong where it serves: it reads of its largest tables, and takes a write, which is rolled back."""
    import psycopg

    problems = []
    with target.session() as connection:
        for table in sorted(tables, key=lambda one: -one.bytes)[:SMOKE_TABLES]:
            try:
                row = connection.execute(f"SELECT FROM {table.name} LIMIT 1".encode()).fetchone()
            except psycopg.Error as error:
                problems.append(f"{table.name} cannot be read: {error.diag.message_primary}")
                continue
            if table.rows and row is None:
                problems.append(f"{table.name} yields no row")
        try:
            connection.execute("BEGIN")
            connection.execute("CREATE TABLE pg_temp.opsbook_smoke (id int)")
            connection.execute("INSERT INTO pg_temp.opsbook_smoke VALUES (1)")
        except psycopg.Error as error:
            problems.append(f"it takes no write: {error.diag.message_primary}")
        connection.execute("ROLLBACK")
    return problems
