"""Backups of a database against what people use: `pg_dump | gzip`, `pg_dump -Fc`, and COPY out alone.

    python benchmarks/backup.py --gigabytes 2 --jobs 2 --rounds 3

The server is one of our own on a loopback port, with realistic tables (logs, records, sessions). Every peer reads the
same database in turn, round by round, so that the load of the machine meets all alike; medians are held against each
other. `COPY out` reads the same tables at the same parallelism and throws them away: nothing that reads by COPY can be
faster. CPU is that of the server and of all programs together. Peak memory is that of opsbook's own process;
`--memory 0.2,2,6` measures it at several sizes of the database.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from figures import Figure, tell

ROOT = Path(__file__).parents[1]
BIN = Path(os.environ.get("OPSBOOK_TEST_POSTGRES_BIN", "/usr/lib/postgresql/15/bin"))
TABLES = """
CREATE TABLE spider_logs (id bigserial PRIMARY KEY, created_at timestamptz NOT NULL, level text, url text, message text,
                          status int, took_ms int, payload jsonb);
CREATE TABLE standards (id bigserial PRIMARY KEY, code text NOT NULL, title text, sector text, published date,
                        content text, sha256 text, fee numeric(10, 2));
CREATE TABLE sessions (token uuid PRIMARY KEY, person int, started timestamptz, agent text, data bytea);
"""
FILL = """
INSERT INTO spider_logs (created_at, level, url, message, status, took_ms, payload)
SELECT timestamptz '2026-01-01' + n * interval '2 seconds',
       (ARRAY['INFO', 'INFO', 'INFO', 'WARNING', 'ERROR'])[1 + n % 5],
       'https://registry.example/standards/EC' || lpad((n * 7919::bigint % 100000)::text, 5, '0'),
       'request ' || md5(n::text) || ' of spider ' || n % 17 || ' answered', 200 + n % 5, n % 1977,
       jsonb_build_object('attempt', n % 3, 'proxy', md5((n % 1000)::text), 'bytes', n * 31 % 65536)
FROM generate_series({first}, {last}) AS n;
INSERT INTO standards (code, title, sector, published, content, sha256, fee)
SELECT 'EC' || n, 'Standard of competence ' || n, 'sector ' || n % 21, date '2010-01-01' + n % 5000,
       repeat('provides the service of ' || md5((n / 7)::text) || ' by the criteria of quality. ', 5),
       md5(n::text) || md5((n + 1)::text), n % 10000 / 7.0
FROM generate_series({first}, {last}, 3) AS n;
INSERT INTO sessions SELECT md5(n::text)::uuid, n % 50000, timestamptz '2026-01-01' + n * interval '1 minute',
       'Mozilla/5.0 (X11; Linux x86_64) number ' || n % 40, decode(md5(n::text) || md5((n * 3)::text), 'hex')
FROM generate_series({first}, {last}, 4) AS n;
"""
STEP = 200_000


@dataclass
class Server:
    """A PostgreSQL of our own."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/app"

    def run(self, program: str, *arguments: str) -> str:
        identity = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        command = [str(BIN / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, **identity)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stdout + done.stderr
        return str(done.stdout)

    def sql(self, text: str) -> str:
        return self.run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.url, "-c", text)


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    """Started on a free port, stopped at the end."""
    from tests.integration.servers import free_port

    folder.mkdir(parents=True)
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    one = Server(folder, free_port())
    one.run("initdb", "-D", "data", "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--no-locale")
    settings = {"port": one.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": folder, "fsync": "off",
                "shared_buffers": "512MB", "max_wal_size": "8GB", "full_page_writes": "off"}  # fmt: skip
    with (folder / "data" / "postgresql.auto.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    one.run("pg_ctl", "-w", "-D", "data", "-l", "log", "start")
    try:
        one.run("createdb", "-h", "127.0.0.1", "-p", str(one.port), "-U", "postgres", "app")
        one.sql(TABLES)
        yield one
    finally:
        one.run("pg_ctl", "-D", "data", "-m", "immediate", "stop")


def fill(one: Server, gigabytes: float, done: int = 0) -> int:
    """Rows until the database is so large; how many there are."""
    while int(one.sql("SELECT pg_database_size('app')")) < gigabytes * 1e9:
        one.sql(FILL.format(first=done + 1, last=done + STEP))
        done += STEP
    one.sql("VACUUM ANALYZE")
    return done


def piped(command: str) -> None:
    """Run a shell line."""
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)


def processor(one: Server) -> float:
    """Seconds of CPU that the server with its ended backends, and the ended children of this process, have had."""
    pid = int((one.folder / "data" / "postmaster.pid").read_text().split()[0])
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = sum(int(word) for word in words[11:15])
    return ticks / os.sysconf("SC_CLK_TCK") + children.ru_utime + children.ru_stime


def copied(one: Server, jobs: int) -> None:
    """COPY out of all tables in the same pieces and parallelism, thrown away: the limit."""
    from concurrent.futures import ThreadPoolExecutor

    from opsbook.connectors.backups.postgres_dump import dumping

    with dumping(source_of(one), "dump", wanted=(), exclude=(), passwords=False) as dump:
        environment = dump.server.environment()

        def read(argv: tuple[str, ...]) -> None:
            subprocess.run(argv, env=environment, stdout=subprocess.DEVNULL, check=True)

        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(read, [stream.argv for stream in dump.streams if stream.role == "data"]))


def source_of(one: Server) -> object:
    from psycopg.conninfo import conninfo_to_dict

    from opsbook.connectors.backups.postgres_dump import Server as Source

    given = {name: str(value) for name, value in conninfo_to_dict(one.url).items()}
    return Source(given, "opsbook:bench", "bench")


def ours(url: str, to: Path, jobs: int, *, checksums: bool, recipient: str) -> dict[str, float]:
    """One backup in a process of its own: seconds, bytes, peak memory in bytes."""
    argument = json.dumps({"url": url, "to": str(to), "jobs": jobs, "checksums": checksums, "recipient": recipient})
    done = subprocess.run(
        [sys.executable, __file__, "--child", argument], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def child(argument: str) -> None:
    """What `ours` runs."""
    from psycopg.conninfo import conninfo_to_dict

    from opsbook.clock import SystemClock
    from opsbook.connectors.backups.pipeline import Codec
    from opsbook.connectors.backups.postgres_dump import Server as Source
    from opsbook.connectors.backups.postgres_subject import postgres_subject
    from opsbook.connectors.backups.taking import Order, Taking
    from opsbook.connectors.objectstore.folder import FolderStore
    from opsbook.store.audit_head import HeadFile

    said = json.loads(argument)
    folder = Path(said["to"])
    source = Source({name: str(value) for name, value in conninfo_to_dict(said["url"]).items()}, "opsbook:bench", "b")
    order = Order(
        "bench", "bench", "nightly", "database", "dump", "b", Codec(recipients=said["recipient"]), said["jobs"]
    )
    taking = Taking(order, FolderStore(folder / "store"), HeadFile(folder / "key", folder / "head"), SystemClock())
    started = time.perf_counter()
    manifest = taking.run(lambda: postgres_subject(source, "dump", checksums=said["checksums"]))
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "stored": manifest.stored, "plain": manifest.plain, "peak": peak}))


def compare(one: Server, folder: Path, jobs: int, rounds: int) -> None:
    """The table of all peers."""
    import pyrage

    recipient = str(pyrage.x25519.Identity.generate().to_public())
    limit, simple = f"COPY out, {jobs} jobs", "pg_dump | gzip"
    times: dict[str, list[float]] = {}
    cpu: dict[str, list[float]] = {}
    sizes: dict[str, float] = {}
    peaks: dict[str, float] = {}

    def peer(name: str, command: str) -> None:
        file = folder / "peer"
        piped(f"{command} > {file}")
        sizes[name] = file.stat().st_size
        file.unlink()

    def own(name: str, *, checksums: bool, recipient: str) -> None:
        to = folder / "ours"
        to.mkdir()
        told = ours(one.url, to, jobs, checksums=checksums, recipient=recipient)
        sizes[name], peaks[name] = told["stored"], max(peaks.get(name, 0), told["peak"])
        shutil.rmtree(to)

    acts: dict[str, Callable[[str], None]] = {
        simple: lambda name: peer(name, f"{BIN}/pg_dump -d {one.url} | gzip"),
        "pg_dump -Fc": lambda name: peer(name, f"{BIN}/pg_dump -Fc -d {one.url}"),
        limit: lambda _: copied(one, jobs),
        "opsbook": lambda name: own(name, checksums=True, recipient=""),
        "opsbook, encrypted": lambda name: own(name, checksums=True, recipient=recipient),
        "opsbook, no row sums": lambda name: own(name, checksums=False, recipient=""),
        "opsbook, no row sums, encrypted": lambda name: own(name, checksums=False, recipient=recipient),
    }
    for _ in range(rounds):
        for name, act in acts.items():
            before, started = processor(one), time.perf_counter()
            act(name)
            times.setdefault(name, []).append(time.perf_counter() - started)
            cpu.setdefault(name, []).append(processor(one) - before)
    print(f"{'':32}{'seconds':>9}{'x faster':>9}{'of COPY':>9}{'CPU s':>8}{'MB':>8}{'of gzip':>9}{'peak MB':>9}")
    middle = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name, seconds in middle.items():
        size = f"{sizes[name] / 1e6:8.0f}{sizes[name] / sizes[simple]:9.2f}" if name in sizes else f"{'':17}"
        peak = f"{peaks[name] / 1e6:9.0f}" if name in peaks else ""
        ratios = f"{middle[simple] / seconds:9.2f}{seconds / middle[limit]:9.2f}"
        print(f"{name:32}{seconds:9.2f}{ratios}{statistics.median(cpu[name]):8.1f}{size}{peak}")
    tell(Figure("backup with row sums, encrypted", middle["opsbook, encrypted"], "s", simple, middle[simple], "0.5"))
    tell(Figure("backup with row sums, encrypted", middle["opsbook, encrypted"], "s", limit, middle[limit]))
    tell(Figure("size of a backup", sizes["opsbook, encrypted"] / 1e6, "MB", simple, sizes[simple] / 1e6, "1 or less"))


def memory(one: Server, folder: Path, sizes: list[float], jobs: int) -> None:
    """Peak memory at growing sizes of the database."""
    rows = 0
    for gigabytes in sorted(sizes):
        rows = fill(one, gigabytes, rows)
        to = folder / "ours"
        to.mkdir()
        told = ours(one.url, to, jobs, checksums=False, recipient="")
        shutil.rmtree(to)
        print(f"database {gigabytes:5.1f} GB: peak memory {told['peak'] / 1e6:6.0f} MB, {told['seconds']:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", default="", help="sizes in GB, between commas; instead of the comparison")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.child:
        child(said.child)
        return
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with server(folder / "server") as one:
            if said.memory:
                memory(one, folder, [float(size) for size in said.memory.split(",")], said.jobs)
                return
            fill(one, said.gigabytes)
            print(f"database of {int(one.sql('SELECT pg_database_size(current_database())')) / 1e9:.2f} GB, "
                  f"{said.jobs} jobs, median of {said.rounds}")  # fmt: skip
            compare(one, folder, said.jobs, said.rounds)


if __name__ == "__main__":
    main()
