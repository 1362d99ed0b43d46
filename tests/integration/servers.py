"""Real servers for tests: each on a free loopback port, with a data folder of its own, stopped by its pid.

Session-scoped fixtures `postgres_pair`, `redis_server` and `pgbouncer_server` are shared by tests that only read;
`Postgres`, `RedisServer` and `PgBouncer` start one for a test that breaks it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
import redis
import yaml

from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.connectors.contract import Connections, Reading, Request
from opsbook.observations.registry import observations, read_parameters

T = TypeVar("T")

BIN = Path(os.environ.get("OPSBOOK_TEST_POSTGRES_BIN", "/usr/lib/postgresql/15/bin"))
"""Binaries of the PostgreSQL that tests meet."""
BUSY = 3.0
"""A machine that does other things too gets this many times the time that is enough on a quiet one."""
STATEMENTS_LIBRARY = BIN.parent / "lib" / "pg_stat_statements.so"


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def until(condition: Callable[[], T], seconds: float = 60.0, what: str = "") -> T:
    """The first true answer; fails where even a busy machine would have had it."""
    deadline = time.monotonic() + seconds * BUSY
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds * BUSY:g} s: {what or condition}"
        time.sleep(0.05)


def gone(pid: int) -> bool:
    """Whether the process has ended; one that waits to be reaped has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def as_postgres(folder: Path) -> dict[str, Any]:
    """Keywords of subprocess that leave root, which PostgreSQL and PgBouncer refuse."""
    if os.geteuid() != 0:
        return {}
    shutil.chown(folder, "postgres", "postgres")
    folder.chmod(0o700)
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextmanager
def own_folder(prefix: str) -> Iterator[Path]:
    """A short path that other users may pass through: sockets have at most 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix=f"opsbook-{prefix}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Postgres:
    """One PostgreSQL server. User `postgres` is its superuser; `monitor` (password `s3cret-word`) has pg_monitor."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder, self.data, self.port = folder, folder / "data", port or free_port()
        self.identity = as_postgres(folder)
        self.log = folder / "log"

    def run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(BIN / program), *arguments], capture_output=True, text=True, cwd=self.folder, **self.identity
        )
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

    def create(self, **settings: str) -> Postgres:
        self.run(
            "initdb", "-D", str(self.data), "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--no-locale"
        )
        preload = "pg_stat_statements" if STATEMENTS_LIBRARY.exists() else ""
        lines = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "wal_level": "replica",
            "shared_preload_libraries": preload,
            "shared_buffers": "32MB",
            "max_connections": "40",
            **settings,
        }
        self.configure(**lines)
        with (self.data / "pg_hba.conf").open("w") as rules:
            rules.write("local all all trust\nhost all postgres 127.0.0.1/32 trust\n")
            rules.write("host replication postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        return self

    def configure(self, **settings: str) -> None:
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{key} = '{value}'\n" for key, value in settings.items())

    def start(self) -> Postgres:
        self.run("pg_ctl", "-w", "-t", "30", "-D", str(self.data), "-l", str(self.log), "start")
        return self

    def stop(self, mode: str = "fast") -> None:
        if (self.data / "postmaster.pid").exists():
            pid = self.pid
            with suppress(AssertionError):
                self.run("pg_ctl", "-w", "-t", "30", "-D", str(self.data), "-m", mode, "stop")
            until(lambda: gone(pid), what="PostgreSQL has stopped")

    @property
    def pid(self) -> int:
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def signal(self, number: signal.Signals) -> None:
        """To the whole server: every backend, then the postmaster."""
        for process in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                if int(process.read_text().rsplit(")", 1)[1].split()[1]) == self.pid:
                    os.kill(int(process.parent.name), number)
        os.kill(self.pid, number)

    def url(self, user: str = "postgres", database: str = "postgres", password: str = "") -> str:
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/{database}"

    @property
    def monitor(self) -> str:
        return self.url("monitor", "app", "s3cret-word")

    def connect(self, database: str = "app", **keywords: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url(database=database), autocommit=True, **keywords)

    def sql(self, *statements: str, database: str = "app") -> list[Any]:
        """Run each as the superuser; the rows of the last."""
        with self.connect(database) as connection:
            rows: list[Any] = []
            for statement in statements:
                cursor = connection.execute(statement)
                rows = cursor.fetchall() if cursor.description else []
            return rows

    def prepare(self) -> Postgres:
        """The database `app` with a table, a monitoring role, and a role that may see nothing."""
        self.sql("CREATE DATABASE app", database="postgres")
        self.sql(
            "CREATE ROLE monitor LOGIN PASSWORD 's3cret-word' IN ROLE pg_monitor",
            "CREATE ROLE stranger LOGIN PASSWORD 's3cret-word'",
            *(["CREATE EXTENSION pg_stat_statements"] if STATEMENTS_LIBRARY.exists() else []),
            "CREATE TABLE jobs (id serial PRIMARY KEY, state text, payload text, created_at timestamptz DEFAULT now())",
            "INSERT INTO jobs (state, payload) SELECT 'done', repeat('x', 100) FROM generate_series(1, 20000)",
            "CREATE INDEX jobs_state ON jobs (state)",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO monitor",
            "GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO monitor",
            "ANALYZE",
        )
        return self

    def standby(self, folder: Path, slot: str = "standby") -> Postgres:
        """A streaming standby of this server, started."""
        other = Postgres(folder)
        source = f"host=127.0.0.1 port={self.port} user=postgres application_name={slot}"
        self.run_as(other, "pg_basebackup", "-R", "-X", "stream", "-C", "-S", slot, "-c", "fast", "-d", source)
        other.configure(port=str(other.port), unix_socket_directories=str(folder))
        return other.start()

    def run_as(self, other: Postgres, program: str, *arguments: str) -> None:
        other.run(program, *arguments, "-D", str(other.data))

    def replayed(self, replica: Postgres) -> bool:
        """Whether the replica has all that this server wrote until now."""
        ((here,),) = self.sql("SELECT pg_current_wal_lsn()")
        ((done,),) = replica.sql(f"SELECT pg_last_wal_replay_lsn() >= '{here}'")
        return bool(done)


@contextmanager
def new_postgres(**settings: str) -> Iterator[Postgres]:
    """A prepared server for one test."""
    with own_folder("pg") as folder:
        server = Postgres(folder).create(**settings).start()
        try:
            yield server.prepare()
        finally:
            server.stop("immediate")


@contextmanager
def new_pair() -> Iterator[tuple[Postgres, Postgres]]:
    """A primary and its standby for one test."""
    with new_postgres() as primary, own_folder("pg") as folder:
        replica = primary.standby(folder)
        try:
            yield primary, replica
        finally:
            replica.stop("immediate")


@pytest.fixture(scope="session")
def postgres_pair() -> Iterator[tuple[Postgres, Postgres]]:
    """A primary and its streaming standby. Tests must leave them as they found them."""
    with new_pair() as pair:
        yield pair


@pytest.fixture(scope="session")
def postgres_server(postgres_pair: tuple[Postgres, Postgres]) -> Postgres:
    """A primary."""
    return postgres_pair[0]


class RedisServer:
    """One Redis server."""

    program = os.environ.get("OPSBOOK_TEST_REDIS", "redis-server")
    """The program that tests meet; Valkey's speaks the same."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> RedisServer:
        # A file of settings must come before the options.
        config = [one for one in arguments if one.endswith(".conf")]
        command = [
            self.program,
            *config,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.folder),
            "--save",
            "",
        ]
        options = [one for one in arguments if one not in config]
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
        until(self._answers, what="Redis answers")
        return self

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.AuthenticationError:
            return True
        except redis.ConnectionError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(10)

    def client(self, database: int = 0) -> redis.Redis:
        return redis.Redis(host="127.0.0.1", port=self.port, db=database, decode_responses=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


@contextmanager
def new_redis(*arguments: str) -> Iterator[RedisServer]:
    """A Redis for one test."""
    with own_folder("redis") as folder:
        server = RedisServer(folder)
        try:
            yield server.start(*arguments)
        finally:
            server.stop()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis that tests share; each uses its own keys."""
    with new_redis("--maxmemory", "100mb", "--slowlog-log-slower-than", "0") as server:
        yield server


class PgBouncer:
    """PgBouncer in front of a server; `monitor` may read its console."""

    def __init__(self, folder: Path, server: Postgres, mode: str = "transaction", pool_size: int = 2) -> None:
        self.folder, self.port, self.pid = folder, free_port(), 0
        users = folder / "users.txt"
        users.write_text('"monitor" "s3cret-word"\n"postgres" ""\n')
        self.config = folder / "pgbouncer.ini"
        self.config.write_text(
            f"[databases]\napp = host=127.0.0.1 port={server.port} user=monitor password=s3cret-word\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = plain\nauth_file = {users}\nstats_users = monitor\npool_mode = {mode}\n"
            f"default_pool_size = {pool_size}\npidfile = {folder}/pid\nlogfile = {folder}/log\n"
        )
        self.identity = as_postgres(folder)
        for file in (users, self.config):
            if self.identity:
                shutil.chown(file, "postgres", "postgres")

    def start(self) -> PgBouncer:
        program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        subprocess.run([program, "-q", "-d", str(self.config)], check=True, cwd=self.folder, **self.identity)
        self.pid = until(self._pid, what="PgBouncer has started")
        return self

    def _pid(self) -> int:
        file = self.folder / "pid"
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return int(file.read_text() or 0) if file.exists() else 0
        return 0

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
            until(lambda: gone(self.pid), what="PgBouncer has stopped")

    def url(self, database: str) -> str:
        return f"postgresql://monitor:s3cret-word@127.0.0.1:{self.port}/{database}"


@contextmanager
def new_pgbouncer(server: Postgres, **keywords: Any) -> Iterator[PgBouncer]:
    """A PgBouncer for one test."""
    with own_folder("bouncer") as folder:
        bouncer = PgBouncer(folder, server, **keywords)
        try:
            yield bouncer.start()
        finally:
            bouncer.stop()


@contextmanager
def silent_server() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen(16)
        yield int(one.getsockname()[1])


def make_system(folder: Path, components: dict[str, dict[str, Any]], **keys: Any) -> System:
    """A system of these components, loaded from a book as users write it."""
    book = {
        "opsbook": 1,
        "system": "test",
        "environments": {"test": {"policy": "open"}},
        "components": components,
        **keys,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "book.yaml"
    path.write_text(yaml.safe_dump(book))
    return in_environment(load_book(path, catalogue()))


async def ask(
    connections: Connections, component: str, *facts: str | tuple[str, dict[str, Any]], within: float = 10.0
) -> list[Reading]:
    """Readings of these observations of a component, in order; those of one reader are one batch, as in a sweep."""
    batches: dict[int, list[Request]] = {}
    for n, fact in enumerate(facts):
        name, written = (fact, {}) if isinstance(fact, str) else fact
        found = observations()[name]
        request = Request(str(n), found.spec, read_parameters(found.spec, written), within)
        batches.setdefault(id(found.reader), []).append(request)
    readings: dict[str, Reading] = {}
    for batch in batches.values():
        reader = observations()[batch[0].observation.name].reader
        readings |= {one.id: one for one in await reader.read(connections.of(component), batch)}
    return [readings[str(n)] for n in range(len(facts))]
