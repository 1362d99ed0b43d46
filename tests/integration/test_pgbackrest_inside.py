"""pgBackRest of a server in containers: the same on compose and in a cluster, and nothing of it is left behind."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

import opsbook.recovery.drills  # noqa: F401 - hands the judge of assertions down
from opsbook.book.system import System
from opsbook.connectors.backups.pgbackrest_inside import Running
from opsbook.connectors.backups.recovered_inside import name_of
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.runtimes.beside import Beside, beside
from opsbook.connectors.runtimes.contract import Runtime
from tests.integration.cluster import container, needs_kubernetes, new_namespace, service, workload
from tests.integration.hands import Hands, Out, hands_of
from tests.integration.podman import lacking, new_podman
from tests.integration.servers import free_port, make_system, own_folder

PATH = "/usr/lib/postgresql/15/bin:/usr/bin:/usr/sbin:/bin"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("pgbackrest") is None, reason="pgbackrest is not installed"),
    pytest.mark.timeout(600),
]
SERVER = """\
set -e
owner() { exec setpriv --reuid postgres --regid postgres --init-groups "$@"; }
if [ ! -s /data/pg/PG_VERSION ]; then
  install -d -o postgres -g postgres -m 700 /data/pg
  (owner initdb -A trust -D /data/pg -U postgres -E UTF8 --no-locale --no-sync >/dev/null)
  echo "host all all all trust" >> /data/pg/pg_hba.conf
fi
owner postgres -D /data/pg -c listen_addresses='*' -c unix_socket_directories=/data/pg -c archive_mode=on -c fsync=off
"""
ROWS = """
CREATE TABLE IF NOT EXISTS orders (id int PRIMARY KEY, note text);
CREATE TABLE IF NOT EXISTS others (id int PRIMARY KEY);
INSERT INTO orders SELECT n, md5(n::text) FROM generate_series(1, 3000) AS n ON CONFLICT DO NOTHING;
INSERT INTO others VALUES (1) ON CONFLICT DO NOTHING;
"""
KEPT = {"id": "kept", "of": "db", "sql": "SELECT count(*) FROM orders", "expect": "value >= 2000"}


@dataclass
class Place:
    """A server in a container, and the book that has its log archived."""

    folder: Path
    runtime: dict[str, Any]
    dsn: str
    through: str = ""

    @property
    def system(self) -> System:
        backup = {
            "id": "wal", "of": "db", "method": "pgbackrest", "continuous": True, "to": str(self.folder / "proofs"),
            "pgbackrest": {"inside": {"folder": "/data/pgbackrest"}},
        }  # fmt: skip
        database = {"kind": "postgres", "dsn": self.dsn, "workload": "db"}
        database |= {"through": self.through} if self.through else {}
        return make_system(
            self.folder / "book", {"db": database},
            environments={"test": {"policy": "open", "runtime": self.runtime}}, backups=[backup], assertions=[KEPT],
        )  # fmt: skip


async def rows(hands: Hands, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
    """By the way that opsbook has to the server; waits until it answers."""
    from opsbook.connectors.executors.restore_work import target_of

    server, _ = await target_of(hands.connections, "db", "test")

    def ask() -> list[tuple[Any, ...]]:
        with server.at(database).session() as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    async with asyncio.timeout(120):
        while True:
            try:
                return await asyncio.to_thread(ask)
            except (ChangeFailed, psycopg.OperationalError):
                await asyncio.sleep(0.3)


async def moment(hands: Hands) -> str:
    await asyncio.sleep(0.05)
    ((now,),) = await rows(hands, "SELECT clock_timestamp()::text")
    await asyncio.sleep(0.05)
    return f"{now}:00" if now[-3] in "+-" else str(now)


async def comes_back(place: Place, hands: Hands) -> str:
    """Configured, backed up, and brought back beside; a recovery that was killed is taken up again. The point."""
    runtime = hands.connections.runtime
    await hands.do("workload.start", of="db")
    await rows(hands, ROWS)
    await hands.do("pgbackrest.configure", of="db", backup="wal")
    told = await hands.do("backup.take", of="db", backup="wal")
    assert told["type"] == "full"
    again = (await hands.plan("backup.take", of="db", backup="wal"))[0]
    assert again.effect["type"] == "incr", "it sees in the repository that there is a full one"

    before = await moment(hands)
    await rows(hands, "DELETE FROM orders WHERE id % 3 = 0; INSERT INTO others VALUES (2)")
    (change,) = await hands.plan("postgres.restore_at", of="db", backup="wal", to="before_it", at=before)
    async with left_behind(runtime, "run/7/0"):
        told = await hands.apply(change, "run/7/0")
    assert await rows(hands, "SELECT count(*) FROM orders", "before_it") == [(3000,)]
    assert told["writes_after"]["tables"]["public.orders"]["now"] == 2000
    assert told["stopped"].startswith("recovery stopping before commit")

    told = await hands.do("drill.restore_at", of="db", backup="wal", assertions=["kept"])
    assert (told["good"], told["problems"]) == (True, [])
    assert [one["holds"] for one in told["asserted"]] == [True] and told["rpo_seconds"] < 3600
    assert list((place.folder / "proofs/test/wal" / told["label"]).glob("proof-*.json")), "proofs lie on this host"
    await nothing_is_left(runtime)
    two = Running(place.system, "another", [("db", "/data/nothing"), ("db", "/data/pg")])
    assert await two.primary(runtime) == "db", "where a server works and follows no other"
    return before


@asynccontextmanager
async def left_behind(runtime: Runtime, key: str) -> AsyncIterator[None]:
    """As a recovery that was killed with opsbook: its container runs, its folder is full."""
    async with beside(runtime, Beside(name_of("db"), key, "db", 600), Out()) as inside:
        fills = "mkdir -p /data/pgbackrest/recovery/data; sleep 300 >/dev/null 2>&1 &"
        await inside.run(["sh", "-c", fills], seconds=30)
        yield


async def nothing_is_left(runtime: Runtime) -> None:
    """Its name is free for another, and in the volume is what stays."""
    look = ["sh", "-c", "ls /data/pgbackrest; stat -c %a:%U /data/pgbackrest/pgbackrest.conf"]
    async with beside(runtime, Beside(name_of("db"), "another", "db", 60), Out()) as inside:
        seen = await inside.run(look, seconds=30)
    assert seen.out.split() == ["lock", "pgbackrest.conf", "repository", "600:postgres"]


@contextmanager
def on_compose() -> Iterator[Place]:
    with new_podman("1") as engine:
        port = free_port()
        mounts = ["/usr:/usr:ro", "/etc/passwd:/etc/passwd:ro", "/etc/group:/etc/group:ro", "data:/data"]
        engine.write(
            {"db": {"image": "localhost/base:1", "command": ["bash", "-c", SERVER.replace("$", "$$")],
                    "environment": {"PATH": PATH}, "volumes": mounts, "ports": [f"127.0.0.1:{port}:5432"]}},
            volumes={"data": {}},
        )  # fmt: skip
        runtime = {"kind": "compose", "file": str(engine.file), "host": engine.address}
        yield Place(engine.folder, runtime, f"postgresql://postgres@127.0.0.1:{port}/postgres")


@contextmanager
def on_kubernetes() -> Iterator[Place]:
    # hostPath volumes lie below the folder of the cluster, which is on a disk.
    state = Path(os.environ.get("KUBE_STATE") or Path(os.environ["KUBECONFIG"]).parent)
    data = state / f"data-{secrets.token_hex(4)}"
    volumes = [{"name": "usr", "hostPath": {"path": "/usr"}},
               {"name": "data", "hostPath": {"path": str(data), "type": "DirectoryOrCreate"}}]  # fmt: skip
    server = container(
        "db", ["bash", "-c", SERVER], env=[{"name": "PATH", "value": PATH}],
        readinessProbe={"tcpSocket": {"port": 5432}, "periodSeconds": 1},
        volumeMounts=[{"name": "usr", "mountPath": "/usr", "readOnly": True}, {"name": "data", "mountPath": "/data"}],
    )  # fmt: skip
    stateful = workload("StatefulSet", "db", server, replicas=0, serviceName="db", pod={"volumes": volumes})
    try:
        with own_folder("pitr") as folder, new_namespace(stateful, service("db", 5432)) as cluster:
            runtime = {"kind": "kubernetes", "namespace": cluster.namespace}
            yield Place(folder, runtime, "postgresql://postgres@db/postgres", "runtime")
    finally:
        shutil.rmtree(data, ignore_errors=True)


@pytest.mark.skipif(bool(lacking()), reason=lacking() or "podman")
@pytest.mark.xdist_group("pgbackrest")
async def test_a_database_in_a_container_goes_back_to_a_point_and_rows_come_back_in_place() -> None:
    with on_compose() as place:
        async with hands_of(place.system) as hands:
            before = await comes_back(place, hands)
            told = await hands.do("postgres.restore_tables_at", of="db", backup="wal", at=before, tables="orders")
            assert told["replaced"] == {"public.orders": 3000}
            assert await rows(hands, "SELECT count(*) FROM others") == [(2,)], "the other tables stay"
            assert (await hands.do("backup.verify", of="db", backup="wal"))["good"]

            (stopped,) = await hands.plan("drill.restore_at", of="db", backup="wal")
            hands.out.text = ""
            drilling = asyncio.ensure_future(hands.apply(stopped, "run/8/0"))
            async with asyncio.timeout(120):
                while "beside db" not in hands.out.text and not drilling.done():  # noqa: ASYNC110  it is seen there
                    await asyncio.sleep(0.05)
            drilling.cancel()
            await asyncio.gather(drilling, return_exceptions=True)
            assert await hands.end(stopped, "run/8/0")
            await nothing_is_left(hands.connections.runtime)


@needs_kubernetes
@pytest.mark.xdist_group("kubernetes")
async def test_a_database_in_a_pod_goes_back_to_a_point() -> None:
    with on_kubernetes() as place:
        async with hands_of(place.system) as hands:
            await comes_back(place, hands)
