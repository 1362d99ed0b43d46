"""A primary, its standby and a pool, held by a supervisord of their own, with a book that says how they fail over."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import yaml

from tests.integration.servers import BIN, Postgres, free_port, gone, own_folder, until

OPSBOOK = Path(sys.executable).with_name("opsbook")
PRIMARY, STANDBY = "POSTGRES_URL", "REPLICA_URL"


@dataclass
class Pair:
    """What a test asks and breaks. `one` was the primary at first, `two` its standby."""

    folder: Path
    one: Postgres
    two: Postgres
    pool_port: int
    supervisord: subprocess.Popen[bytes]

    @property
    def book(self) -> Path:
        return self.folder / "book"

    def opsbook(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A verb of opsbook on the book, with a store of its own."""
        return subprocess.run(
            [str(OPSBOOK), *arguments, "--book", str(self.book)], capture_output=True, text=True, timeout=120,
            env=self.environment, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "OPSBOOK_STORE": str(self.folder / "store.db"), "NO_COLOR": "1"}

    def run(self, procedure: str, *words: str) -> dict[str, Any]:
        """The run as it ended."""
        done = self.opsbook("run", procedure, *words, "--yes", "--format", "json")
        assert done.stdout, f"exit {done.returncode}: {done.stderr}"
        view: dict[str, Any] = json.loads(done.stdout)
        return view

    def done(self, procedure: str, *words: str) -> dict[str, Any]:
        """As `run`, and it must end well."""
        view = self.run(procedure, *words)
        assert view["state"] == "done", f"{procedure}: {view['state']}: {view['message']}"
        return view

    def recovering(self, server: Postgres) -> bool | None:
        """What the server says; None where it does not answer."""
        try:
            with psycopg.connect(server.url(database="app"), connect_timeout=3) as connection:
                ((found,),) = connection.execute("SELECT pg_is_in_recovery()").fetchall()
                return bool(found)
        except psycopg.OperationalError:
            return None

    def primaries(self) -> list[Postgres]:
        return [server for server in (self.one, self.two) if self.recovering(server) is False]

    def behind_pool(self) -> int:
        """The port of the server that a client of the pool is led to, by a write."""
        with psycopg.connect(f"postgresql://postgres@127.0.0.1:{self.pool_port}/app", autocommit=True) as connection:
            connection.execute("INSERT INTO jobs (state) VALUES ('pooled')", prepare=False)
            ((port,),) = connection.execute("SELECT inet_server_port()", prepare=False).fetchall()
            return int(port)

    def leads_to(self, server: Postgres) -> bool:
        """Whether clients are led to this server."""
        return self.behind_pool() == server.port

    def has(self, server: Postgres, mark: str) -> bool:
        """Whether a job of this mark is there."""
        return server.sql(f"SELECT count(*) FROM jobs WHERE state = '{mark}'") == [(1,)]

    def left_behind(self, server: Postgres) -> list[str]:
        """What stands beside its data folder and should not."""
        return [path.name for path in server.data.parent.glob("data.*")]

    def variables(self) -> dict[str, str]:
        lines = (self.folder / "env").read_text().splitlines()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def lose(self, server: Postgres) -> None:
        """Kill it for good, as if its host were gone."""
        pid = server.pid
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        name = "one" if server is self.one else "two"
        until(lambda: self._stopped(name), 30, "supervisor does not start it anew")

    def _stopped(self, name: str) -> bool:
        self.supervisorctl("stop", name)
        return "STOPPED" in self.supervisorctl("status", name)

    def supervisorctl(self, *words: str) -> str:
        command = [str(OPSBOOK.with_name("supervisorctl")), "-c", str(self.folder / "supervisord.conf"), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@contextmanager
def failing_pair() -> Iterator[Pair]:
    """All of it, prepared; stopped by its supervisord."""
    with own_folder("fo1") as first, own_folder("fo2") as second, own_folder("fo") as folder:
        for place in (folder, first, second):
            place.chmod(0o755)
        for place in (first, second):
            (place / "pg").mkdir()
        one = Postgres(first / "pg").create(wal_log_hints="on").start()
        try:
            one.prepare()
            two = one.standby(second / "pg", slot="standby_1")
            two.stop()
        finally:
            one.stop()
        pool_port = free_port()
        _write(folder, one, two, pool_port)
        pair = Pair(folder, one, two, pool_port, _start(folder))
        try:
            until(lambda: [pair.recovering(one), pair.recovering(two)] == [False, True], 60, "both answer")
            streams = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
            until(lambda: one.sql(streams) == [(1,)], 60, "the standby streams")
            yield pair
        finally:
            _stop(pair)


def _start(folder: Path) -> subprocess.Popen[bytes]:
    command = [str(OPSBOOK.with_name("supervisord")), "-n", "-c", str(folder / "supervisord.conf")]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder)


def _stop(pair: Pair) -> None:
    pids = []
    for server in (pair.one, pair.two):
        with suppress(OSError, ValueError, IndexError):
            pids.append(server.pid)
    pair.supervisord.terminate()
    try:
        pair.supervisord.wait(30)
    except subprocess.TimeoutExpired:
        pair.supervisord.kill()
        pair.supervisord.wait(5)
    until(lambda: all(gone(pid) for pid in pids), 30, "both servers have ended")


def _write(folder: Path, one: Postgres, two: Postgres, pool_port: int) -> None:
    root = os.geteuid() == 0
    user = "user = postgres\n" if root else ""
    bouncer = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    programs = {
        "one": f"{BIN / 'postgres'} -D {one.data}",
        "two": f"{BIN / 'postgres'} -D {two.data}",
        "pool": f"{bouncer} -q {folder / 'pgbouncer.ini'}",
    }
    (folder / "supervisord.conf").write_text(
        f"[unix_http_server]\nfile = {folder}/s.sock\n[supervisorctl]\nserverurl = unix://{folder}/s.sock\n"
        f"[supervisord]\nlogfile = {folder}/supervisord.log\npidfile = {folder}/pid\nchildlogdir = {folder}\n"
        + ("user = root\n" if root else "")
        + "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = "
        "supervisor.rpcinterface:make_main_rpcinterface\n"
        + "".join(
            f"[program:{name}]\ncommand = {command}\n{user}autostart = true\nautorestart = true\nstartsecs = 1\n"
            f"stopsignal = INT\nredirect_stderr = true\nstdout_logfile = {folder}/{name}.log\n"
            for name, command in programs.items()
        )
    )
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\napp = host=127.0.0.1 port={one.port} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {pool_port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {folder}/users.txt\n"
        "admin_users = postgres\npool_mode = transaction\nserver_login_retry = 1\n"
    )
    (folder / "users.txt").write_text('"postgres" ""\n')
    (folder / "env").write_text(f"{PRIMARY}={one.url(database='app')}\n{STANDBY}={two.url(database='app')}\n")
    database = {
        "kind": "postgres", "dsn": f"${{{PRIMARY}}}", "admin": f"${{{PRIMARY}}}", "replica": f"${{{STANDBY}}}",
        "workload": "one",
        "failover": {
            "servers": [
                {"workload": "one", "url": one.url(database="app"), "data": str(one.data)},
                {"workload": "two", "url": two.url(database="app"), "data": str(two.data)},
            ],
            "repoint": [
                {"file": str(folder / "pgbouncer.ini"), "reload": "pool"},
                {"file": str(folder / "env"), "primary": [PRIMARY], "standby": [STANDBY]},
            ],
        },
    }  # fmt: skip
    pool = {"kind": "pgbouncer", "dsn": f"postgresql://postgres@127.0.0.1:{pool_port}/pgbouncer", "workload": "pool",
            "depends_on": ["database"]}  # fmt: skip
    runtime = {"kind": "supervisor", "config": str(folder / "supervisord.conf")}
    environment = {"policy": "open", "disposable": True, "runtime": runtime, "env_file": str(folder / "env")}
    model = {
        "opsbook": 1, "system": "pair", "environments": {"test": environment},
        "components": {"database": database, "pool": pool},
        "objectives": {"database": {"rto": "1h", "rpo": "1h"}},
        "checks": [{"id": "database-up", "title": "Database", "observe": "postgres.up", "of": "database"}],
    }  # fmt: skip
    (folder / "book").mkdir()
    (folder / "book" / "book.yaml").write_text(yaml.safe_dump(model))
