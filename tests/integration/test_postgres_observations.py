"""PostgreSQL observations against a real primary and standby."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from opsbook.connectors.contract import Failure, Reading
from opsbook.connectors.registry import open_connections
from opsbook.observations.registry import observations
from tests.integration.servers import (
    STATEMENTS_LIBRARY,
    Postgres,
    ask,
    make_system,
    new_pair,
    new_pgbouncer,
    new_postgres,
    silent_server,
    until,
)

pytestmark = pytest.mark.real

Pair = tuple[Postgres, Postgres]
REQUIRED: dict[str, dict[str, Any]] = {
    "postgres.setting": {"name": "wal_level"},
    "postgres.freshness": {"table": "jobs", "column": "created_at"},
    "postgres.rows": {"table": "jobs"},
    "postgres.connections_planned": {"other": 10},
    "postgres.value": {"sql": "SELECT count(*) FROM jobs"},
    "postgres.ratio": {"sql": "SELECT 0.5"},
    "postgres.size": {"sql": "SELECT 512"},
    "postgres.rate": {"sql": "SELECT 2.5"},
    "postgres.duration": {"sql": "SELECT interval '3 minutes'"},
    "postgres.state": {"sql": "SELECT true"},
    "postgres.text": {"sql": "SELECT 'green'"},
}
NOT_ARCHIVED = "the server archives nothing (archive_mode or archive_command): a loss goes back to the last dump"
NOT_HERE = {
    "postgres.archive_age": "archiving is off (archive_mode)",
    "postgres.archive_failures": "archiving is off (archive_mode)",
    "postgres.autovacuum_age": "1 of 1 tables never vacuumed",
    "wal.archive_failures": NOT_ARCHIVED,
    "wal.archive_lag": NOT_ARCHIVED,
}
if not STATEMENTS_LIBRARY.exists():
    missing = "the extension pg_stat_statements is not there: CREATE EXTENSION pg_stat_statements"
    NOT_HERE |= {"postgres.slow_queries": missing, "postgres.slowest_query": missing}


def database(folder: Path, dsn: str, replica: str = "") -> Any:
    """Open connections of a system with one database."""
    component = {"kind": "postgres", "dsn": dsn, **({"replica": replica} if replica else {})}
    return open_connections(make_system(folder, {"database": component}))


async def read(
    folder: Path, server: Postgres | str, *facts: str | tuple[str, dict[str, Any]], within: float = 10.0
) -> list[Reading]:
    dsn = server if isinstance(server, str) else server.monitor
    async with database(folder, dsn) as connections:
        return await ask(connections, "database", *facts, within=within)


async def one(folder: Path, server: Postgres | str, name: str, within: float = 10.0, **parameters: Any) -> Reading:
    (reading,) = await read(folder, server, (name, parameters), within=within)
    return reading


@contextmanager
def session(server: Postgres, *statements: str, **keywords: Any) -> Iterator[psycopg.Connection[Any]]:
    """A session that has run these statements and stays."""
    connection = server.connect(**keywords)
    try:
        for statement in statements:
            connection.execute(statement)
        yield connection
    finally:
        connection.close()


@contextmanager
def running(server: Postgres, statement: str, **keywords: Any) -> Iterator[psycopg.Connection[Any]]:
    """A session in which a statement is running, until the end."""
    connection = server.connect(**keywords)
    failures = contextlib.suppress(psycopg.Error)

    def run() -> None:
        with failures:
            connection.execute(statement)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        pid = connection.info.backend_pid
        until(lambda: server.sql(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND state = 'active'"))
        yield connection
    finally:
        server.sql(f"SELECT pg_terminate_backend({connection.info.backend_pid})")
        thread.join(10)
        connection.close()


async def test_every_observation_has_a_value_or_says_why_not(postgres_pair: Pair, tmp_path: Path) -> None:
    primary, replica = postgres_pair
    until(lambda: primary.replayed(replica))
    primary.sql(*["SELECT count(*) FROM jobs"] * 5)
    names = [name for name, found in observations().items() if "postgres" in found.spec.kinds]
    async with database(tmp_path, primary.monitor, replica.monitor) as connections:
        readings = await ask(connections, "database", *((name, REQUIRED.get(name, {})) for name in names))
        assert connections.of("database").primary.suspects == set()
    found = dict(zip(names, readings, strict=True))
    without = {name: reading.message for name, reading in found.items() if reading.value is None}
    version = primary.sql("SHOW server_version_num")[0][0]
    checksums = {"postgres.checksum_failures": "data checksums are off: damage is not seen"}
    expected = NOT_HERE | (checksums if int(version) < 180000 else {})
    vacuumed = "postgres.autovacuum_age"  # the server may have come round to it by now
    assert {**without, vacuumed: ""} == {**expected, vacuumed: ""}
    json.dumps([reading.detail for reading in readings])


async def test_it_asks_a_hundred_facts_in_one_statement_over_one_connection(
    postgres_server: Postgres, tmp_path: Path
) -> None:
    facts = [("postgres.dead_tuples", {"table": "jobs"}), ("postgres.setting", {"name": "port"})] * 50
    async with database(tmp_path, postgres_server.monitor) as connections:
        await ask(connections, "database", "postgres.up")
        connector = connections.of("database")
        said: list[str] = []
        original = connector.primary.read

        async def listening(statement: str, *rest: Any, **keywords: Any) -> Any:
            said.append(statement)
            return await original(statement, *rest, **keywords)

        connector.primary.read = listening
        readings = await ask(connections, "database", *facts)
        ours = postgres_server.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'opsbook'")
    assert [reading.value for reading in readings[:2]] == [0.0, str(postgres_server.port)]
    assert len(said) == 1
    assert ours == [(1,)]


async def test_its_transactions_are_read_only(postgres_server: Postgres, tmp_path: Path) -> None:
    async with database(tmp_path, postgres_server.url(database="app")) as connections:
        session = connections.of("database").primary
        for statement in ("DELETE FROM jobs", "CREATE TABLE mine ()", "SELECT nextval('jobs_id_seq')"):
            with pytest.raises(Exception, match="read-only transaction"):
                await session.read(statement, path=None)
        assert await session.read("SELECT 1") == [(1,)]


async def test_it_counts_sessions(postgres_server: Postgres, tmp_path: Path) -> None:
    with session(postgres_server), session(postgres_server), running(postgres_server, "SELECT pg_sleep(60)"):
        everyone, ratio, active = await read(
            tmp_path, postgres_server, "postgres.connections", "postgres.connections_ratio", "postgres.active"
        )
    assert everyone.value == 4
    assert {"state": "idle", "count": 2} in everyone.detail
    assert ratio.value == pytest.approx(4 / 40)
    assert ratio.message == "4 of 40, 3 of them kept for superusers"
    assert active.value == 1


async def test_it_finds_who_is_idle_in_a_transaction(postgres_server: Postgres, tmp_path: Path) -> None:
    name, now = "postgres.idle_in_transaction", {"older_than": "0s"}
    with session(postgres_server, "BEGIN", "SELECT 'the last word'") as idle:
        found, not_yet, oldest = await read(
            tmp_path, postgres_server, (name, now), (name, {"older_than": "5m"}), "postgres.oldest_transaction"
        )
        pid = idle.info.backend_pid
    assert (found.value, not_yet.value) == (1, 0)
    assert found.detail[0]["pid"] == pid
    assert found.detail[0]["last_query"] == "SELECT 'the last word'"
    assert 0 < float(oldest.value or 0) < 60


async def test_it_finds_long_queries_and_shortens_them(postgres_server: Postgres, tmp_path: Path) -> None:
    with running(postgres_server, f"SELECT pg_sleep(60), '{'y' * 900}', 'ALTER ROLE x PASSWORD ''hidden-one'''"):
        found = await one(tmp_path, postgres_server, "postgres.long_queries", older_than="0s")
    assert found.value == 1
    assert found.detail[0]["query"].startswith("SELECT pg_sleep(60)")
    assert len(found.detail[0]["query"]) == 200


async def test_it_never_shows_a_password_in_a_query(postgres_server: Postgres, tmp_path: Path) -> None:
    statement = "SELECT pg_sleep(60) /* ALTER ROLE x PASSWORD 'hidden-one' */"
    with running(postgres_server, statement):
        found = await one(tmp_path, postgres_server, "postgres.long_queries", older_than="0s")
    assert found.detail[0]["query"] == "SELECT pg_sleep(60) /* ALTER ROLE x PASSWORD *** */"


async def test_it_tells_who_blocks_whom(postgres_server: Postgres, tmp_path: Path) -> None:
    lock = "UPDATE jobs SET state = state WHERE id = 1"
    with session(postgres_server, "BEGIN", lock) as holder, running(postgres_server, lock) as waiter:
        until(lambda: postgres_server.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
        waiting, longest = await read(tmp_path, postgres_server, "postgres.waiting_locks", "postgres.longest_lock_wait")
        pids = (holder.info.backend_pid, waiter.info.backend_pid)
    assert waiting.value == 1
    row = waiting.detail[0]
    assert (row["blocked_by"][0]["pid"], row["blocked_pid"]) == pids
    assert row["blocked_query"] == lock
    assert row["blocked_by"][0]["state"] == "idle in transaction"
    assert 0 < float(longest.value or 0) < 60


async def test_it_counts_deadlocks(postgres_server: Postgres, tmp_path: Path) -> None:
    before = await one(tmp_path, postgres_server, "postgres.deadlocks")
    first, second = "UPDATE jobs SET state = state WHERE id = 1", "UPDATE jobs SET state = state WHERE id = 2"
    with session(postgres_server, "BEGIN", first) as a, session(postgres_server, "BEGIN", second) as b:
        thread = threading.Thread(target=_try, args=(a, second))
        thread.start()
        _try(b, first)
        thread.join(10)

    async def counted() -> bool:
        now = await one(tmp_path, postgres_server, "postgres.deadlocks")
        return now.value == float(before.value or 0) + 1

    deadline = time.monotonic() + 15
    while not await counted():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


def _try(connection: psycopg.Connection[Any], statement: str) -> None:
    with contextlib.suppress(psycopg.errors.DeadlockDetected):
        connection.execute(statement)


async def test_it_finds_dead_rows_bloat_and_indexes(tmp_path: Path) -> None:
    with new_postgres(autovacuum="off") as server:
        server.sql(
            "UPDATE jobs SET payload = repeat('y', 100)",
            "CREATE TABLE broken (a int)",
            "INSERT INTO broken VALUES (1), (1)",
            "ANALYZE",
        )
        with contextlib.suppress(psycopg.errors.UniqueViolation):
            server.sql("CREATE UNIQUE INDEX CONCURRENTLY broken_a ON broken (a)")
        server.sql("SELECT setval('jobs_id_seq', 2000000000)")
        dead = await one(tmp_path, server, "postgres.dead_tuples", table="jobs")
        ratio, bloat, unused, invalid, used, scans = await read(
            tmp_path,
            server,
            ("postgres.dead_ratio", {"table": "public.jobs"}),
            "postgres.bloat",
            "postgres.unused_indexes",
            "postgres.invalid_indexes",
            "postgres.sequences_used",
            ("postgres.missing_indexes", {"larger_than": "1MB", "scans": 1}),
        )
    assert dead.value == 20000
    assert ratio.value == pytest.approx(0.5)
    assert bloat.value == pytest.approx(0.5, abs=0.05)
    assert bloat.detail[0]["table"] == "public.jobs"
    assert [row["index"] for row in unused.detail] == ["public.jobs_state"]
    assert (invalid.value, invalid.detail) == (1, ["public.broken_a"])
    assert used.value == pytest.approx(2_000_000_000 / 2_147_483_647)
    assert [row["table"] for row in scans.detail] == ["public.jobs"]


@pytest.mark.skipif(not STATEMENTS_LIBRARY.exists(), reason="these binaries come without pg_stat_statements")
async def test_it_finds_slow_statements_with_their_mean(postgres_server: Postgres, tmp_path: Path) -> None:
    postgres_server.sql(*["SELECT pg_sleep(0.06)"] * 5)
    slow, slowest = await read(
        tmp_path, postgres_server, ("postgres.slow_queries", {"mean_above": "50ms"}), "postgres.slowest_query"
    )
    assert slow.value == 1
    assert slow.detail[0]["query"] == "SELECT pg_sleep($1)"
    assert slow.detail[0]["mean_ms"] >= 60
    assert slow.detail[0]["calls"] == 5
    assert float(slowest.value or 0) >= 0.06


async def test_it_reads_values_of_the_books_own_sql(postgres_server: Postgres, tmp_path: Path) -> None:
    readings = await read(
        tmp_path,
        postgres_server,
        ("postgres.value", {"sql": "SELECT count(*), 'a%b' AS note FROM jobs WHERE state LIKE '%on%'; "}),
        ("postgres.value", {"sql": "SELECT 1 -- the end"}),
        ("postgres.duration", {"sql": "WITH t AS (SELECT interval '90 seconds' AS i) SELECT i FROM t"}),
        ("postgres.duration", {"sql": "SELECT 12.5"}),
        ("postgres.ratio", {"sql": "SELECT 0.25::numeric"}),
        ("postgres.state", {"sql": "SELECT exists (SELECT FROM jobs)"}),
        ("postgres.text", {"sql": "SELECT '%(sql)s'"}),
    )
    assert [reading.value for reading in readings] == [20000, 1, 90, 12.5, 0.25, True, "%(sql)s"]
    assert readings[0].detail == {"note": "a%b"}


@pytest.mark.parametrize(
    ("sql", "failure", "message"),
    [
        ("SELECT 1 WHERE false", Failure.ABSENT, "no row"),
        ("SELECT NULL", Failure.ABSENT, "NULL"),
        ("SELECT id FROM jobs", Failure.FAILED, "more than one row"),
        ("SELECT 'green'", Failure.FAILED, "invalid input syntax"),
        ("SELECT 'NaN'::float8", Failure.FAILED, "not a count"),
        ("SELECT 1); DROP TABLE jobs; --", Failure.FAILED, "database: "),
        ("DELETE FROM jobs RETURNING 1", Failure.FAILED, "syntax error"),
        ("SELECT count(*) FROM no_such_table", Failure.FAILED, 'relation "no_such_table" does not exist'),
        ("SELECT pg_sleep(30)::text", Failure.TIMEOUT, "no answer within 1 s"),
        ("SELECT nextval('jobs_id_seq')", Failure.FAILED, "read-only transaction"),
    ],
)
async def test_a_bad_statement_costs_only_its_own_fact(
    postgres_server: Postgres, tmp_path: Path, sql: str, failure: Failure, message: str
) -> None:
    bad, good = await read(
        tmp_path, postgres_server.url(database="app"), ("postgres.value", {"sql": sql}), "postgres.up", within=1
    )
    assert (bad.value, bad.failure) == (None, failure)
    assert message in bad.message
    assert good.value is True
    assert postgres_server.sql("SELECT count(*) FROM jobs") == [(20000,)]


async def test_one_bad_fact_does_not_spoil_a_merged_statement_twice(postgres_server: Postgres, tmp_path: Path) -> None:
    facts = [("postgres.setting", {"name": "no_such"}), ("postgres.setting", {"name": "port"}), "postgres.up"]
    async with database(tmp_path, postgres_server.monitor) as connections:
        for _ in range(2):
            bad, port, up = await ask(connections, "database", *facts)
            assert bad.failure is Failure.FAILED
            assert 'unrecognized configuration parameter "no_such"' in bad.message
            assert (port.value, up.value) == (str(postgres_server.port), True)
        assert len(connections.of("database").primary.suspects) == 1


async def test_a_slow_table_leaves_time_for_the_others(postgres_server: Postgres, tmp_path: Path) -> None:
    with session(postgres_server, "BEGIN", "LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE"):
        rows, fresh, two, up = await read(
            tmp_path,
            postgres_server,
            ("postgres.rows", {"table": "jobs"}),
            ("postgres.freshness", {"table": "jobs", "column": "created_at"}),
            ("postgres.value", {"sql": "SELECT 2"}),
            "postgres.up",
            within=1.5,
        )
    assert (rows.failure, fresh.failure) == (Failure.TIMEOUT, Failure.TIMEOUT)
    assert (two.value, up.value) == (2, True)


@pytest.mark.parametrize(
    "name", ['x"; DROP TABLE jobs; --', "no_such", "%s", "%(table)s", "public.'jobs'", '"', "a.b.c.d", "{where}", "ü\\"]
)
async def test_a_hostile_table_name_is_only_a_name(postgres_server: Postgres, tmp_path: Path, name: str) -> None:
    readings = await read(
        tmp_path,
        postgres_server.url(database="app"),
        ("postgres.freshness", {"table": name, "column": "created_at"}),
        ("postgres.freshness", {"table": "jobs", "column": name}),
        ("postgres.rows", {"table": name}),
        ("postgres.table_size", {"table": name}),
        ("postgres.dead_tuples", {"table": name}),
    )
    assert [reading.failure for reading in readings] == [Failure.FAILED] * 5, [r.message for r in readings]
    assert postgres_server.sql("SELECT count(*) FROM jobs") == [(20000,)]


async def test_freshness_knows_time_zones_and_empty_tables(postgres_server: Postgres, tmp_path: Path) -> None:
    postgres_server.sql(
        'CREATE TABLE "My.Table" (naive timestamp, day date, aware timestamptz)',
        """INSERT INTO "My.Table" VALUES ((now() - interval '1 hour') AT TIME ZONE 'America/Mexico_City',
           current_date, now() - interval '2 hours')""",
        'GRANT SELECT ON "My.Table" TO monitor',
    )
    table = '"My.Table"'
    try:
        naive, day, aware, none = await read(
            tmp_path,
            postgres_server,
            ("postgres.freshness", {"table": table, "column": "naive", "timezone": "America/Mexico_City"}),
            ("postgres.freshness", {"table": f"public.{table}", "column": "day"}),
            ("postgres.freshness", {"table": table, "column": "aware"}),
            ("postgres.freshness", {"table": table, "column": "aware", "where": "aware > now() -- none"}),
        )
    finally:
        postgres_server.sql(f"DROP TABLE {table}")
    assert naive.value == pytest.approx(3600, abs=30)
    assert 0 <= float(day.value or 0) <= 2 * 86400
    assert aware.value == pytest.approx(7200, abs=30)
    assert (none.failure, none.message) == (Failure.ABSENT, "the table has no such row")


async def test_a_role_without_privileges_is_told_what_to_grant(postgres_server: Postgres, tmp_path: Path) -> None:
    stranger = postgres_server.url("stranger", "app", "s3cret-word")
    up, connections, rows, sequences, bloat = await read(
        tmp_path,
        stranger,
        "postgres.up",
        "postgres.connections",
        ("postgres.rows", {"table": "jobs"}),
        "postgres.sequences_used",
        "postgres.bloat",
    )
    assert up.value is True
    assert connections.failure is Failure.FAILED
    assert 'GRANT pg_monitor TO "stranger"' in connections.message
    assert rows.message == "database: permission denied for table jobs"
    assert "GRANT SELECT ON ALL SEQUENCES" in sequences.message
    assert "pg_read_all_data" in bloat.message


async def test_a_missing_extension_is_named(postgres_server: Postgres, tmp_path: Path) -> None:
    monitor = postgres_server.url("monitor", "postgres", "s3cret-word")
    slow = await one(tmp_path, monitor, "postgres.slow_queries")
    assert slow.failure is Failure.FAILED
    assert slow.message == "the extension pg_stat_statements is not there: CREATE EXTENSION pg_stat_statements"


async def test_replication_lag_is_zero_when_the_replica_has_all(postgres_pair: Pair, tmp_path: Path) -> None:
    primary, replica = postgres_pair
    primary.sql("INSERT INTO jobs (state) VALUES ('new')", "DELETE FROM jobs WHERE state = 'new'")
    async with database(tmp_path, primary.monitor, replica.monitor) as connections:
        lag, missing, replicas, slots = await ask(
            connections,
            "database",
            "postgres.replication_lag",
            "postgres.replication_lag_bytes",
            "postgres.replicas",
            "postgres.inactive_slots",
        )
    assert (lag.value, missing.value, lag.message) == (0, 0, "the replica has all; it streams")
    assert (replicas.value, slots.value) == (1, 0)
    assert replicas.detail[0]["standby"] == "standby"


@pytest.mark.parametrize("ask_replica", [True, False])
async def test_a_paused_replay_shows_as_lag_that_grows(postgres_pair: Pair, tmp_path: Path, ask_replica: bool) -> None:
    primary, replica = postgres_pair
    async with database(tmp_path, primary.monitor, replica.monitor if ask_replica else "") as connections:
        await ask(connections, "database", "postgres.replication_lag")
        replica.sql("SELECT pg_wal_replay_pause()")
        try:
            # On an idle primary the data are old, but the replica has them all.
            connections.forget()
            idle = (await ask(connections, "database", "postgres.replication_lag"))[0]
            primary.sql("INSERT INTO jobs (state) VALUES ('new')", "DELETE FROM jobs WHERE state = 'new'")
            readings = []
            for _ in range(2):
                connections.forget()
                readings += await ask(
                    connections, "database", "postgres.replication_lag", "postgres.replication_lag_bytes"
                )
        finally:
            replica.sql("SELECT pg_wal_replay_resume()")
    seconds, missing, later, _ = readings
    assert idle.value == 0
    assert 0.4 < float(seconds.value or 0) < float(later.value or 0) < 30
    assert float(missing.value or 0) > 0
    assert not ask_replica or "replay is paused" in seconds.message


async def test_a_stopped_replica_is_never_shown_as_no_lag(tmp_path: Path) -> None:
    with new_pair() as (primary, replica):
        replica.stop()
        primary.sql("CREATE TABLE more AS SELECT generate_series(1, 100000) AS n", "CHECKPOINT")
        async with database(tmp_path / "both", primary.monitor, replica.monitor) as connections:
            lag, up, replicas, slots, retained, primary_up = await ask(
                connections,
                "database",
                "postgres.replication_lag",
                "postgres.replica_up",
                "postgres.replicas",
                "postgres.inactive_slots",
                "postgres.retained_wal",
                "postgres.up",
            )
        alone = await one(tmp_path / "primary", primary, "postgres.replication_lag")
        assert (lag.failure, up.failure) == (Failure.UNREACHABLE, Failure.UNREACHABLE)
        assert (replicas.value, slots.value, primary_up.value) == (0, 1, True)
        assert slots.detail[0]["slot"] == "standby"
        assert float(retained.value or 0) > 1_000_000
        assert (alone.failure, alone.message) == (Failure.FAILED, "no standby is connected to database")

        # A replica that cannot reach its primary any more has nothing left to replay, and is behind all the same.
        replica.configure(primary_conninfo="host=127.0.0.1 port=1")
        replica.start()
        async with database(tmp_path / "cut", primary.monitor, replica.monitor) as connections:
            (cut,) = await ask(connections, "database", "postgres.replication_lag_bytes")
        assert float(cut.value or 0) > 1_000_000
        assert "it receives no WAL" in cut.message

        replica.run("pg_ctl", "promote", "-w", "-D", str(replica.data))
        async with database(tmp_path / "promoted", primary.monitor, replica.monitor) as connections:
            promoted, lag = await ask(connections, "database", "postgres.replica_up", "postgres.replication_lag")
        assert promoted.value is False
        assert lag.failure is Failure.FAILED
        assert "promoted" in lag.message


async def test_a_wrong_password_is_unreachable_and_never_shown(postgres_server: Postgres, tmp_path: Path) -> None:
    readings = await read(
        tmp_path, postgres_server.url("monitor", "app", "wrong-pa55word"), "postgres.up", "postgres.replication_lag"
    )
    assert [reading.failure for reading in readings] == [Failure.UNREACHABLE] * 2
    assert [reading.credential for reading in readings] == [True, True], "a run waits for another"
    assert "password authentication failed" in readings[0].message
    assert "wrong-pa55word" not in repr(readings)


@pytest.mark.parametrize(
    "dsn",
    [
        "host=127.0.0.1 password=hidden-one nonsense=1",
        "postgresql://u:hidden-one@127.0.0.1:notaport/x",
        "postgresql://u@127.0.0.1:1/x?password=hidden-one&no_such=1",
        "hidden-one",
    ],
)
async def test_a_url_that_cannot_be_read_is_not_quoted(tmp_path: Path, dsn: str) -> None:
    reading = await one(tmp_path, dsn, "postgres.up")
    assert reading.failure is Failure.UNREACHABLE
    assert "hidden-one" not in reading.message


async def test_a_driver_in_the_url_is_left_out(postgres_server: Postgres, tmp_path: Path) -> None:
    url = postgres_server.monitor.replace("postgresql://", "postgresql+asyncpg://")
    assert (await one(tmp_path, url, "postgres.up")).value is True


async def test_a_server_that_says_nothing_is_cut(tmp_path: Path) -> None:
    with silent_server() as port:
        started = time.monotonic()
        readings = await read(
            tmp_path,
            f"postgresql://monitor:s3cret-word@127.0.0.1:{port}/app",
            "postgres.up",
            ("postgres.value", {"sql": "SELECT 1"}),
            "postgres.replication_lag",
            within=0.6,
        )
    assert time.monotonic() - started < 3
    assert {reading.failure for reading in readings} <= {Failure.UNREACHABLE, Failure.TIMEOUT}
    assert all(reading.value is None for reading in readings)


async def test_a_server_that_stops_and_starts_is_read_again(tmp_path: Path) -> None:
    with new_postgres() as server:
        async with database(tmp_path, server.monitor) as connections:
            assert (await ask(connections, "database", "postgres.up"))[0].value is True
            server.stop()
            down = (await ask(connections, "database", "postgres.up"))[0]
            assert (down.value, down.failure) == (None, Failure.UNREACHABLE)
            server.start()
            assert (await ask(connections, "database", "postgres.up"))[0].value is True
            server.stop("immediate")
            server.start()
            # The old connection is broken; it is opened again without a word.
            assert (await ask(connections, "database", "postgres.up"))[0].value is True


async def test_a_server_that_dies_in_mid_read_is_unreachable(tmp_path: Path) -> None:
    with new_postgres() as server:
        async with database(tmp_path, server.monitor) as connections:
            sleeping = asyncio.ensure_future(
                ask(connections, "database", ("postgres.text", {"sql": "SELECT pg_sleep(30)::text"}), within=20)
            )
            await _seen(server, "pg_sleep")
            await asyncio.to_thread(server.stop, "immediate")
            (reading,) = await sleeping
    assert reading.failure is Failure.UNREACHABLE


async def test_a_backend_that_is_killed_is_asked_again(postgres_server: Postgres, tmp_path: Path) -> None:
    async with database(tmp_path, postgres_server.monitor) as connections:
        asking = asyncio.ensure_future(
            ask(connections, "database", ("postgres.text", {"sql": "SELECT pg_sleep(0.7)::text || 'done'"}))
        )
        await _seen(postgres_server, "pg_sleep")
        postgres_server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'opsbook'")
        (reading,) = await asking
    assert reading.value == "done"


async def test_a_server_that_hangs_in_mid_read_is_cut_at_the_time_out(tmp_path: Path) -> None:
    with new_postgres() as server:
        async with database(tmp_path, server.monitor) as connections:
            assert (await ask(connections, "database", "postgres.up"))[0].value is True
            server.signal(signal.SIGSTOP)
            try:
                started = time.monotonic()
                readings = await ask(
                    connections, "database", "postgres.up", ("postgres.value", {"sql": "SELECT 1"}), within=1
                )
                took = time.monotonic() - started
            finally:
                server.signal(signal.SIGCONT)
            assert took < 2
            assert [reading.value for reading in readings] == [None, None]
            assert (await ask(connections, "database", "postgres.up"))[0].value is True


async def test_it_reads_through_pgbouncer_in_transaction_mode(postgres_server: Postgres, tmp_path: Path) -> None:
    with new_pgbouncer(postgres_server, mode="transaction") as bouncer:
        async with database(tmp_path, bouncer.url("app")) as connections:
            for _ in range(8):
                up, value, ratio = await ask(
                    connections,
                    "database",
                    "postgres.up",
                    ("postgres.value", {"sql": "SELECT count(*) FROM jobs"}),
                    "postgres.connections_ratio",
                )
                assert (up.value, value.value) == (True, 20000)
                assert 0 < float(ratio.value or 0) < 1


async def test_a_function_that_somebody_put_into_public_is_not_called(tmp_path: Path) -> None:
    with new_postgres() as server:
        server.sql(
            "CREATE FUNCTION public.left(text, bigint) RETURNS text LANGUAGE sql AS $$ SELECT 'trapped' $$",
            "ALTER DATABASE app SET search_path = public, pg_catalog",
            "CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '-infinity'::timestamptz $$",
        )
        up = await one(tmp_path, server, "postgres.uptime")
    assert 0 <= float(up.value or 0) < 120


async def _seen(server: Postgres, word: str) -> None:
    query = f"SELECT 1 FROM pg_stat_activity WHERE application_name = 'opsbook' AND query LIKE '%{word}%'"
    deadline = time.monotonic() + 10
    while not await asyncio.to_thread(server.sql, query):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
