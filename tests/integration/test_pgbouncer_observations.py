"""PgBouncer observations against a real one."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from opsbook.connectors.contract import Failure
from opsbook.connectors.registry import open_connections
from tests.integration.servers import PgBouncer, Postgres, ask, make_system, new_pgbouncer, silent_server, until

pytestmark = pytest.mark.real

FACTS = ("pgbouncer.up", "pgbouncer.waiting", "pgbouncer.max_wait", "pgbouncer.saturation", "pgbouncer.clients_ratio")


def waiting(bouncer: PgBouncer) -> int:
    with psycopg.connect(bouncer.url("pgbouncer"), autocommit=True) as console:
        return sum(row[3] for row in console.execute("SHOW POOLS").fetchall())


async def test_a_full_pool_shows_who_waits(postgres_server: Postgres, tmp_path: Path) -> None:
    with new_pgbouncer(postgres_server, mode="session", pool_size=1) as bouncer:
        system = make_system(tmp_path, {"pool": {"kind": "pgbouncer", "dsn": bouncer.url("pgbouncer")}})
        async with open_connections(system) as connections:
            up, none, _, empty, _ = await ask(connections, "pool", *FACTS)
            assert (up.value, none.value, empty.failure) == (True, 0, Failure.ABSENT)
            with psycopg.connect(bouncer.url("app"), autocommit=True) as holder:
                holder.execute("SELECT 1")
                with closing(psycopg.connect(bouncer.url("app"), autocommit=True)) as late:
                    late.pgconn.send_query(b"SELECT 2")
                    until(lambda: waiting(bouncer) == 1)
                    connections.forget()
                    _, queue, longest, full, clients = await ask(connections, "pool", *FACTS)
            unknown = (await ask(connections, "pool", ("pgbouncer.waiting", {"database": "no_such"})))[0]
    assert queue.value == 1
    assert queue.detail[0]["cl_waiting"] == 1
    assert 0 < float(longest.value or 0) < 30
    assert (full.value, full.message) == (1, "1 of 1 for monitor in app")
    assert 0 < float(clients.value or 0) < 0.2
    assert unknown.message == "pool has no database 'no_such', but app, pgbouncer"


async def test_the_pools_and_the_replicas_are_added_up_against_the_server(
    postgres_server: Postgres, tmp_path: Path
) -> None:
    with new_pgbouncer(postgres_server, mode="session", pool_size=7) as bouncer:
        components = {
            "database": {"kind": "postgres", "dsn": postgres_server.monitor},
            "pool": {"kind": "pgbouncer", "dsn": bouncer.url("pgbouncer")},
            "worker": {"kind": "workload", "replicas": 3},
        }
        said = {"pools": {"worker": 4}, "pgbouncer": "pool", "databases": ["app"], "other": 2}
        async with open_connections(make_system(tmp_path, components)) as connections:
            name = "postgres.connections_planned"
            plan, nobody, strange = await ask(
                connections, "database", (name, said), name, (name, {"pgbouncer": "worker"})
            )
    most = int(postgres_server.sql("SHOW max_connections")[0][0])
    assert (plan.detail["planned"], plan.detail["max_connections"]) == (12 + 7 + 2, most)
    assert plan.value == 21 / (most - plan.detail["reserved"])
    assert "worker 12 (3 × 4); pool/app 7 (1 × 7); others 2" in plan.message
    assert nobody.failure is Failure.ABSENT
    assert strange.message == "worker is no pgbouncer, but workload"


async def test_one_that_is_away_or_silent_is_no_value(tmp_path: Path) -> None:
    with silent_server() as port:
        silent = f"postgresql://u:s3cret-word@127.0.0.1:{port}/pgbouncer"
        system = make_system(
            tmp_path,
            {
                "away": {"kind": "pgbouncer", "dsn": "postgresql://u:s3cret-word@127.0.0.1:1/pgbouncer"},
                "silent": {"kind": "pgbouncer", "dsn": silent},
            },
        )
        async with open_connections(system) as connections:
            (away,) = await ask(connections, "away", "pgbouncer.up")
            (cut,) = await ask(connections, "silent", "pgbouncer.up", within=0.4)
    assert (away.failure, cut.failure) == (Failure.UNREACHABLE, Failure.TIMEOUT)
    assert "s3cret-word" not in repr([away, cut])
