"""A PostgreSQL database as streams: its tables by COPY in parallel, under one snapshot that all sessions share.

Why COPY and not pg_dump's directory format: that one cannot be streamed, it wants a disk as large as the backup, and
before version 16 it compresses with zlib only, which costs more than all the rest. pg_dump still writes the schema,
which is small, pg_dumpall the roles. Rows come through psql: libpq in C, in a process of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from opsbook.connectors.backups import postgres_inventory as inventory
from opsbook.connectors.backups.manifest import DatabaseFacts, TableFacts
from opsbook.connectors.backups.postgres_facts import (
    APPLY,
    RECORDS_SINCE,
    SETTINGS,
    checksum,
    quoted,
    row_sum_statement,
)
from opsbook.connectors.backups.postgres_inventory import Table
from opsbook.connectors.backups.scratch_programs import folders, major_of
from opsbook.connectors.backups.sources import Child, SourceFailed, child
from opsbook.connectors.executors.secrets import masked
from opsbook.connectors.postgres_change import TERMINATE
from opsbook.connectors.process_tree import KEY

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

PART = 256 << 20
"""Bytes of a table, as it lies in the server, that are one part: large tables keep all jobs busy to the end."""
TID_RANGES_SINCE = 140_000
"""Older servers read the whole table for every range of it."""
LOCK_SECONDS = 60
PROGRAMS = ("pg_dump", "pg_dumpall", "psql")
Kind = Literal["dump", "schema", "tables", "globals"]


@dataclass(frozen=True)
class Server:
    """Where the database is, and how it is reached."""

    parameters: Mapping[str, str]
    """Of libpq, with `dbname`. The password goes into the environment of children, never into an argv."""
    application: str
    key: str

    def connect(self) -> Connection:
        """Raises SourceFailed."""
        import psycopg

        given = {**self.parameters, "application_name": self.application, "connect_timeout": "10"}
        try:
            return psycopg.connect(**given, autocommit=True, prepare_threshold=None)  # type: ignore[arg-type]
        except psycopg.Error as error:
            raise self.failed(error, "is the server running, and are user and database right?") from None

    def failed(self, error: psycopg.Error, hint: str = "") -> SourceFailed:
        """The server's own words, without the password."""
        text = error.diag.message_primary or " ".join(str(error).split())
        if "permission denied" in text:
            hint = "set `admin` of the component to a role that may read all of it (pg_read_all_data)"
        return SourceFailed(masked(text, [self.parameters.get("password", "")]), hint or "try again")

    def end(self, seconds: float = 5.0) -> bool:
        """Terminate every session of this application name. True when none is left; False where that is not known."""
        import psycopg

        deadline = time.monotonic() + seconds
        try:
            with Server(self.parameters, "opsbook:end", "").connect() as connection:
                while connection.execute(TERMINATE, {"name": self.application}).fetchall():
                    if time.monotonic() > deadline:
                        return False
                    time.sleep(0.05)
        except (psycopg.Error, SourceFailed):
            return False
        return True

    def environment(self) -> dict[str, str]:
        """Of children: what libpq reads, and the key by which they are found and ended."""
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        given = {VARIABLES[name]: value for name, value in self.parameters.items() if name in VARIABLES}
        return {**kept, **given, "PGAPPNAME": self.application, "PGCONNECT_TIMEOUT": "10", "LC_ALL": "C", KEY: self.key}


VARIABLES = {
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE",
    "password": "PGPASSWORD", "passfile": "PGPASSFILE", "options": "PGOPTIONS", "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY", "sslcrl": "PGSSLCRL",
    "gssencmode": "PGGSSENCMODE", "channel_binding": "PGCHANNELBINDING",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}  # fmt: skip
"""Words of a connection → the variables in which libpq reads them."""


@dataclass(frozen=True)
class Stream:
    """One part that can be written."""

    name: str
    role: Literal["schema", "data", "globals", "blobs"]
    size: int
    """About so many bytes: the largest begin first."""
    argv: tuple[str, ...]
    table: Table | None = None
    order: int = 0
    where: str = ""

    @property
    def table_name(self) -> str:
        return self.table.name if self.table else ""


@dataclass
class Dump:
    """A dump under way: the snapshot is held open by its session until all streams have ended."""

    server: Server
    session: Connection
    programs: Path
    database: DatabaseFacts | None
    data_time: datetime
    tool: str
    streams: list[Stream] = field(default_factory=list)
    tables: tuple[Table, ...] = ()
    told: list[str] = field(default_factory=list)
    """What was left out, and why."""

    @contextmanager
    def source(self, stream: Stream) -> Iterator[Child]:
        """The bytes of a stream."""
        with child(stream.argv, self.server.environment()) as one:
            yield one

    def checksums(self, stream: Stream) -> tuple[int, int]:
        """Rows and sum of hashes of the rows that a stream of a table holds; on a session of its own."""
        import psycopg

        assert stream.table is not None
        assert self.database is not None
        with self.server.connect() as connection:
            try:
                for statement in _joining(self.database.snapshot):
                    connection.execute(statement.encode())
                text = row_sum_statement(
                    connection, stream.table.name, stream.table.columns, stream.where, as_text=self._as_text
                )
                row = connection.execute(text.encode()).fetchone()
            except psycopg.Error as error:
                raise self.server.failed(error) from None
        assert row is not None
        return row[0], int(row[1])

    @property
    def _as_text(self) -> bool:
        return self.database is not None and self.database.server_version < RECORDS_SINCE

    def facts(self, rows: Mapping[str, int], sums: Mapping[str, int] | None) -> DatabaseFacts | None:
        """The database with what its tables held. Without sums their checksums are empty."""
        if self.database is None:
            return None
        told = tuple(
            TableFacts(
                name=one.name,
                columns=one.columns,
                rows=rows.get(one.name, 0),
                checksum="" if sums is None else checksum(sums.get(one.name, 0), as_text=self._as_text),
                bytes=one.size,
            )
            for one in self.tables
        )
        return self.database.model_copy(update={"tables": told})


@contextmanager
def dumping(server: Server, kind: Kind, *, wanted: Sequence[str], exclude: Sequence[str], passwords: bool,
            tell: Callable[[str], None] = lambda _: None) -> Iterator[Dump]:  # fmt: skip
    """A dump whose streams can be read while the block lasts. `passwords`: whether roles are dumped with theirs, which
    only a superuser can.

    Raises SourceFailed with what is missing or was refused.
    """
    import psycopg

    session = server.connect()
    try:
        with session:
            programs, tool = fitting_programs(session.info.server_version)
            session.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
            for statement in (APPLY, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"):
                session.execute(statement.encode())
            dump = _begun(server, session, programs, tool, kind, wanted, exclude, passwords and _superuser(session))
            for line in dump.told:
                tell(line + "\n")
            yield dump
            session.execute("ROLLBACK")
    except psycopg.Error as error:
        raise server.failed(error) from None


def _begun(
    server: Server, session: Connection, programs: Path, tool: str, kind: Kind, wanted: Sequence[str],
    exclude: Sequence[str], passwords: bool,
) -> Dump:  # fmt: skip
    moment = session.execute(inventory.MOMENT).fetchone()
    exported = session.execute("SELECT pg_export_snapshot()").fetchone()
    assert moment is not None
    assert exported is not None
    facts = inventory.database_facts(session, exported[0])
    dump = Dump(server, session, programs, facts, moment[0], tool)
    if kind == "globals":
        dump.database = None
        dump.streams = [_globals(programs, passwords, facts)]
        return dump
    names: list[str] = []
    if kind != "schema":
        found = inventory.tables(session)
        if kind == "tables":
            found, names = inventory.chosen(session, found, wanted)
        dump.tables = tuple(_copied(dump, found, exclude))
        inventory.lock(session, dump.tables)
        dump.database = facts.model_copy(update={"sequences": inventory.sequences(session, standby=facts.from_replica)})
    dump.streams = [_schema(programs, facts, names), *_data(dump.tables, programs, facts)]
    if kind == "dump":
        dump.streams.append(_globals(programs, passwords, facts))
        if _has_blobs(session):
            dump.streams.append(_blobs(programs, facts))
    dump.streams.sort(key=lambda one: -one.size)
    return dump


def _copied(dump: Dump, found: Sequence[Table], exclude: Sequence[str]) -> Iterator[Table]:
    assert dump.database is not None
    for one in found:
        if any(one.matches(pattern) for pattern in exclude):
            dump.told.append(f"{one.name}: its rows are left out (`exclude`)")
        elif one.unlogged and dump.database.from_replica:
            dump.told.append(f"{one.name}: its rows are left out: a standby has none of an unlogged table")
        else:
            yield one


def _data(found: Sequence[Table], programs: Path, facts: DatabaseFacts) -> Iterator[Stream]:
    for number, one in enumerate(found):
        if not one.size:
            continue  # no page was ever written: it has no rows
        pieces = 1
        if facts.server_version >= TID_RANGES_SINCE and one.heap and not one.condition:
            pieces = max(1, min(-(-one.size // PART), one.pages))
        for order in range(pieces):
            where = _range(one.pages, order, pieces)
            copy = _copy(one, where or one.condition.removeprefix("WHERE "))
            begin = "; ".join(_joining(facts.snapshot))
            argv = (
                str(programs / "psql"), "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1",
                "--command", begin, "--command", copy,
            )  # fmt: skip
            yield Stream(f"data-{number:05d}-{order:04d}", "data", one.size // pieces, argv, one, order, where)


def _range(pages: int, order: int, pieces: int) -> str:
    """The rows of one piece by their place; the last has no end."""
    if pieces == 1:
        return ""
    first, after = pages * order // pieces, pages * (order + 1) // pieces
    low = f"ctid >= '({first},0)'"
    return low if order == pieces - 1 else f"{low} AND ctid < '({after},0)'"


def _copy(table: Table, where: str) -> str:
    columns = ", ".join(quoted(name) for name in table.columns)
    if not where:
        return f"COPY {table.name}{f' ({columns})' if columns else ''} TO STDOUT"
    return f"COPY (SELECT {columns} FROM ONLY {table.name} WHERE {where}) TO STDOUT"  # noqa: S608


def _joining(snapshot: str) -> list[str]:
    """Begin a transaction that sees what the dump's own session sees."""
    settings = [f"SET LOCAL {name} = '{value}'" for name, value in SETTINGS.items()]
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    return [begin, f"SET TRANSACTION SNAPSHOT '{snapshot}'", f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'", *settings]


def _archive(programs: Path, facts: DatabaseFacts, *options: str) -> tuple[str, ...]:
    return (
        str(programs / "pg_dump"), "--format=custom", "--compress=0", "--no-password", f"--snapshot={facts.snapshot}",
        f"--lock-wait-timeout={LOCK_SECONDS}s", *options,
    )  # fmt: skip


def _schema(programs: Path, facts: DatabaseFacts, tables: Sequence[str]) -> Stream:
    only = [f"--table={name}" for name in tables]
    return Stream("schema", "schema", 0, _archive(programs, facts, "--schema-only", *only))


def _blobs(programs: Path, facts: DatabaseFacts) -> Stream:
    # Large objects only: the rows of tables are copied beside it.
    return Stream(
        "blobs", "blobs", PART, _archive(programs, facts, "--data-only", "--blobs", "--exclude-table-data=*.*")
    )


def _globals(programs: Path, passwords: bool, facts: DatabaseFacts) -> Stream:
    options = [] if passwords else ["--no-role-passwords"]
    argv = (str(programs / "pg_dumpall"), "--globals-only", "--no-password", f"--database={facts.name}", *options)
    return Stream("globals", "globals", 0, argv)


def _superuser(session: Connection) -> bool:
    row = session.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    return bool(row and row[0])


def _has_blobs(session: Connection) -> bool:
    row = session.execute("SELECT EXISTS (SELECT FROM pg_largeobject_metadata)").fetchone()
    return bool(row and row[0])


def fitting_programs(server_version: int) -> tuple[Path, str]:
    """The folder of client programs that fit a server: of its own major version, else the next newer; and their name.

    Raises SourceFailed.
    """
    wanted = server_version // 10_000
    found = sorted((major_of(path / "pg_dump"), str(path)) for path in folders(PROGRAMS))
    fitting = [(major, path) for major, path in found if major >= wanted]
    if not fitting:
        here = ", ".join(str(major) for major, _ in found) or "none"
        raise SourceFailed(
            f"the server is PostgreSQL {wanted}, and this host has no pg_dump of it or newer (there is: {here})",
            f"install the package postgresql-client-{wanted}",
        )
    return Path(fitting[0][1]), f"pg_dump {fitting[0][0]}"
