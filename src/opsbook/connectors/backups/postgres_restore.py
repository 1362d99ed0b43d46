"""A database made of a backup: schema, then the tables in parallel, then indexes and constraints, then statistics.

The schema comes from the archive that pg_dump wrote, by pg_restore; rows go in as they were copied out, one connection
a part. Blocking: it is called from threads. Nothing is believed before its checksum is: a part whose bytes do not match
ends its COPY, and PostgreSQL rolls it back.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from opsbook.connectors.backups.manifest import DatabaseFacts, Manifest, Part, Phase, SequenceFacts, TableFacts
from opsbook.connectors.backups.postgres_facts import APPLY, quoted
from opsbook.connectors.backups.scratch_programs import major_of_tool, restore_program
from opsbook.connectors.change import ChangeFailed

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

BLOCK = 256 << 10
"""Bytes that are handed to the server at a time."""
LOOK_SECONDS = 0.2
FASTER = """
SELECT set_config('client_encoding', %s, false), set_config('synchronous_commit', 'off', false),
       set_config('lock_timeout', '0', false)
"""
OF_EXTENSIONS = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_depend AS x ON x.objid = c.oid AND x.classid = 'pg_class'::regclass AND x.deptype = 'e' WHERE c.relkind = 'r'
"""
FOREIGN_KEY = re.compile(r"^\d+; \d+ \d+ FK CONSTRAINT (.+) \S+$")
LISTS = ("local_preload_libraries", "search_path", "session_preload_libraries", "temp_tablespaces")
"""Settings whose elements PostgreSQL quotes one by one: written as one text they would be one element."""


class Contents(Protocol):
    """A stored backup whose parts can be read."""

    @property
    def manifest(self) -> Manifest: ...

    def read(self, part: Part, sink: Callable[[bytes], object]) -> None:
        """Hand the plain bytes of a part to the sink. Raises with its key where they are not what was written; before
        it has returned, nothing that the sink got may be believed.
        """
        ...


class Interrupted(ChangeFailed):
    """Somebody asked it to stop."""


@dataclass(frozen=True)
class Target:
    """A database of a server, and how it is reached."""

    parameters: Mapping[str, str]
    """Of libpq; the password is handed on in the environment, never in an argv."""
    application: str = "opsbook:restore"

    def at(self, database: str) -> Target:
        """Another database of the same server."""
        return Target({**self.parameters, "dbname": database}, self.application)

    @contextmanager
    def session(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A connection in autocommit. Raises ChangeFailed."""
        import psycopg

        try:
            connection = psycopg.connect(
                **{**self.parameters, "application_name": self.application, "connect_timeout": "10"},  # type: ignore[arg-type]
                autocommit=True,
            )
        except psycopg.Error as error:
            raise ChangeFailed(f"{self.parameters.get('dbname', '')}: {words(error)}", "does the server run?") from None
        try:
            yield connection
        finally:
            connection.close()

    def environment(self) -> dict[str, str]:
        """Of a child process that connects there."""
        names = {"host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE",
                 "password": "PGPASSWORD", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT",
                 "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY", "passfile": "PGPASSFILE"}  # fmt: skip
        given = {names[key]: str(value) for key, value in self.parameters.items() if key in names}
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        return {**kept, **given, "PGAPPNAME": self.application, "PGCONNECT_TIMEOUT": "10", "LC_ALL": "C.UTF-8"}


@dataclass
class Restoring:
    """One restore under way, and what it has found out."""

    contents: Contents
    target: Target
    """Its database exists and is empty."""
    jobs: int
    spool: Path
    """A folder for the schema's archive, which pg_restore must be able to seek in."""
    tables: frozenset[str] = frozenset()
    """Only the rows of these tables; empty: of all."""
    stop: threading.Event = field(default_factory=threading.Event)
    tell: Callable[[str], None] = lambda _: None
    phases: list[Phase] = field(default_factory=list)
    prepared: Callable[[], None] = lambda: None
    """Called when the schema is there, before any row is."""
    left_out: list[str] = field(default_factory=list)
    """Constraints that cannot hold, because their other table was not wanted."""
    rows: int = 0

    def run(self) -> None:
        """All of it. Raises ChangeFailed with what is wrong, and what the contents raise."""
        with tempfile.TemporaryDirectory(prefix="opsbook-restore-", dir=self.spool) as folder:
            archive = Path(folder) / "schema"
            with self._phase("schema"):
                self._spool(archive)
                self._pg_restore(archive, "pre-data")
            self.prepared()
            with self._phase("data"):
                self._data()
                self._sequences()
            with self._phase("indexes and constraints"):
                self._pg_restore(archive, "post-data", *self._chosen(archive), jobs=self.jobs)
                self._views()
            with self._phase("statistics"):
                self._analyze()

    @property
    def database(self) -> DatabaseFacts:
        """What the manifest says of it."""
        facts = self.contents.manifest.database
        assert facts is not None, "a backup of a database"
        return facts

    def wanted(self, name: str) -> bool:
        """Whether the rows of a table are restored."""
        return not self.tables or name in self.tables

    def look(self) -> None:
        """Raises Interrupted where it is to stop."""
        if self.stop.is_set():
            raise Interrupted("the restore was stopped")

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self.look()
        started = time.monotonic()
        yield
        took = round(time.monotonic() - started, 3)
        self.phases.append(Phase(name=name, seconds=took))
        self.tell(f"{name}: {took:.1f} s\n")

    def _spool(self, archive: Path) -> None:
        (part,) = [part for part in self.contents.manifest.parts if part.role == "schema"]
        self._save(part, archive)

    def _save(self, part: Part, path: Path) -> None:
        with path.open("wb") as file:

            def sink(data: bytes) -> None:
                self.look()
                file.write(data)

            try:
                self.contents.read(part, sink)
            except OSError as error:
                raise ChangeFailed(
                    f"{path.parent}: {error.strerror or error}", "make room, or set TMPDIR to a folder with more"
                ) from error

    def _pg_restore(self, archive: Path, section: str, *options: str, jobs: int = 1) -> None:
        """One section of an archive; all of it where the section is empty."""
        program = restore_program(major_of_tool(self.contents.manifest.tool))
        only = [f"--section={section}"] if section else []
        argv = [str(program), "--exit-on-error", "--no-password", "--no-subscriptions", f"--jobs={jobs}",
                "--dbname", self.target.parameters["dbname"], *only, *options, str(archive)]  # fmt: skip
        self._child(argv, f"pg_restore of {section or 'large objects'}")

    def _child(self, argv: Sequence[str], what: str) -> str:
        with tempfile.TemporaryFile() as said, subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, env=self.target.environment(),
            start_new_session=True,
        ) as child:  # fmt: skip
            try:
                while child.poll() is None:
                    with suppress(subprocess.TimeoutExpired):
                        child.wait(LOOK_SECONDS)
                    self.look()
            except BaseException:
                child.terminate()
                raise
            said.seek(0)
            words = said.read(64 << 10).decode(errors="replace")
        if child.returncode:
            raise ChangeFailed(f"{what}: {_first_error(words)}", "`opsbook backups verify` looks at every object")
        return words

    def _data(self) -> None:
        tables = {one.name: one for one in self.database.tables}
        parts = [part for part in self.contents.manifest.parts if part.role == "data" and self.wanted(part.table)]
        several = {part.table for part in parts if part.order > 0} | self._of_extensions()
        parts.sort(key=lambda part: part.plain, reverse=True)
        for part in parts:
            if part.table not in tables:
                raise ChangeFailed(f"{part.key} is of {part.table}, which the manifest does not know", "")
        counted = in_parallel(
            self.jobs,
            parts,
            lambda part: self._copy(part, tables[part.table], alone=part.table not in several),
            self.stop,
        )
        self.rows = sum(counted)
        for part in self.contents.manifest.parts:
            if part.role == "blobs":
                self._blobs(part)

    def _of_extensions(self) -> set[str]:
        """Tables that have rows already: those that an extension made."""
        with self.target.session() as connection:
            return {str(name) for (name,) in connection.execute(OF_EXTENSIONS)}

    def _copy(self, part: Part, table: TableFacts, *, alone: bool) -> int:
        """Load one part in a transaction of its own; the number of its rows."""
        import psycopg

        columns = ", ".join(quoted(name) for name in table.columns)
        # Rows that are written frozen need no vacuum later; the server allows it to whom emptied the table just now.
        listed = f" ({columns})" if columns else ""
        statement = f"COPY {table.name}{listed} FROM STDIN" + (" WITH (FREEZE)" if alone else "")
        with self.target.session() as connection:
            connection.execute(APPLY)
            connection.execute(FASTER, (self.database.encoding,))
            try:
                with connection.transaction(), connection.cursor() as cursor:
                    if alone:
                        cursor.execute(f"TRUNCATE ONLY {table.name}".encode())
                    with cursor.copy(statement.encode()) as copy:
                        blocks = Blocks(copy.write)

                        def sink(data: bytes) -> None:
                            self.look()
                            blocks.take(data)

                        self.contents.read(part, sink)
                        blocks.end()
                    return cursor.rowcount
            except psycopg.Error as error:
                raise ChangeFailed(f"{part.key}: rows of {table.name}: {words(error)}", "") from error

    def _blobs(self, part: Part) -> None:
        archive = self.spool / f"blobs-{os.getpid()}-{threading.get_ident()}"
        try:
            self._save(part, archive)
            self._pg_restore(archive, "")
        finally:
            archive.unlink(missing_ok=True)

    def _sequences(self) -> None:
        if self.tables:
            owned = sequences_of(self.target, self.tables)
            self._set([one for one in self.database.sequences if one.name in owned])
        else:
            self._set(self.database.sequences)

    def _set(self, sequences: Iterable[SequenceFacts]) -> None:
        with self.target.session() as connection:
            connection.execute(APPLY)
            for one in sequences:
                connection.execute("SELECT setval(%s::regclass, %s, %s)", (one.name, one.last_value, one.is_called))

    def _chosen(self, archive: Path) -> tuple[str, ...]:
        """Options that leave out foreign keys where only some tables have their rows.

        An archive does not say where a key points to, so that all are left out: they are checked when the rows come
        into the live database.
        """
        if not self.tables:
            return ()
        program = restore_program(major_of_tool(self.contents.manifest.tool))
        argv = [str(program), "--list", "--section=post-data", str(archive)]
        kept = []
        for line in self._child(argv, "the contents of the schema").splitlines():
            found = FOREIGN_KEY.match(line)
            if found:
                self.left_out.append(found[1])
            else:
                kept.append(line)
        listed = archive.with_suffix(".list")
        listed.write_text("\n".join(kept) + "\n")
        return ("--use-list", str(listed))

    def _views(self) -> None:
        with self.target.session() as connection:
            connection.execute("SET statement_timeout = 0")
            for name in self.database.materialized:
                self.look()
                connection.execute(f"REFRESH MATERIALIZED VIEW {name}".encode())

    def _analyze(self) -> None:
        names = [one.name for one in sorted(self.database.tables, key=lambda one: -one.bytes) if self.wanted(one.name)]
        in_parallel(self.jobs, [*names, *self.database.materialized], self._analyze_one, self.stop)

    def _analyze_one(self, name: str) -> None:
        with self.target.session() as connection:
            connection.execute("SET statement_timeout = 0")
            connection.execute(f"ANALYZE {name}".encode())


def in_parallel(jobs: int, items: Sequence[Any], work: Callable[[Any], T], stop: threading.Event) -> list[T]:
    """What the work yields, each item on one of so many threads; the first error ends all."""
    with ThreadPoolExecutor(max(1, jobs), "opsbook-restore") as pool:
        under_way = [pool.submit(work, item) for item in items]
        _, left = wait(under_way, return_when=FIRST_EXCEPTION)
        failed = next(
            (one.exception() for one in under_way if one.done() and not one.cancelled() and one.exception()), None
        )
        if failed is not None:
            for one in left:
                one.cancel()
            stop.set()
            raise failed
        return [one.result() for one in under_way]


class Blocks:
    """Gathers small pieces into blocks that are worth a call."""

    def __init__(self, push: Callable[[bytes], object]) -> None:
        self.push, self._held, self._size = push, list[bytes](), 0

    def take(self, data: bytes) -> None:
        self._held.append(data)
        self._size += len(data)
        if self._size >= BLOCK:
            self.end()

    def end(self) -> None:
        """Hand on what is left."""
        if self._held:
            self.push(b"".join(self._held))
            self._held, self._size = [], 0


def sequences_of(target: Target, tables: frozenset[str]) -> set[str]:
    """Sequences that columns of these tables own or draw from."""
    query = """
        SELECT DISTINCT format('%%I.%%I', sn.nspname, s.relname)
        FROM pg_class AS s JOIN pg_namespace AS sn ON sn.oid = s.relnamespace
        JOIN pg_depend AS d ON (d.objid = s.oid AND d.deptype IN ('a', 'i') AND d.classid = 'pg_class'::regclass)
        JOIN pg_class AS t ON t.oid = d.refobjid JOIN pg_namespace AS tn ON tn.oid = t.relnamespace
        WHERE s.relkind = 'S' AND format('%%I.%%I', tn.nspname, t.relname) = ANY (%s)
    """
    with target.session() as connection:
        return {str(row[0]) for row in connection.execute(query.encode(), (sorted(tables),))}


def _first_error(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return next(
        (line.removeprefix("pg_restore: ") for line in lines if "error:" in line), lines[-1] if lines else "failed"
    )


def words(error: psycopg.Error) -> str:
    """What the server says, with where it stood."""
    text = error.diag.message_primary or str(error)
    detail = error.diag.message_detail
    where = error.diag.context
    told = text + (f" ({detail})" if detail else "") + (f" [{where.splitlines()[0]}]" if where else "")
    return "; ".join(line.strip() for line in told.splitlines() if line.strip())


def literal(value: str) -> str:
    """A text as SQL literal, for statements that take no bound values."""
    return "'" + value.replace("'", "''") + "'"


def setting_value(setting: str, value: str) -> str:
    """The value of a setting as SQL: lists element by element."""
    if setting not in LISTS:
        return literal(value)
    elements = re.findall(r'"((?:[^"]|"")*)"|([^,\s"]+)', value)
    return ", ".join(literal(one.replace('""', '"') or other) for one, other in elements) or "''"
