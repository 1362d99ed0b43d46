"""Statements against a real PostgreSQL: bound, bounded, in one transaction, and certain where that can be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsbook.book.system import System
from opsbook.connectors.change import Change, ChangeFailed
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.executors.secrets import NotReached
from opsbook.connectors.postgres_change import application_name
from opsbook.errors import Ambiguous, Refused
from tests.integration.executing import Output, apply, end
from tests.integration.servers import Postgres, make_system, new_postgres, silent_server, until


@pytest.fixture
def database(postgres_server: Postgres) -> Iterator[Postgres]:
    postgres_server.sql("DROP TABLE IF EXISTS things", "CREATE TABLE things (id int PRIMARY KEY, name text)",
                        "INSERT INTO things SELECT n, 'x' FROM generate_series(1, 100) n",
                        "GRANT SELECT ON things TO monitor")  # fmt: skip
    yield postgres_server
    postgres_server.sql("DROP TABLE IF EXISTS things")


@pytest.fixture
def system(database: Postgres, tmp_path: Path) -> System:
    return make_system(
        tmp_path, {"database": {"kind": "postgres", "dsn": database.monitor, "admin": database.url(database="app")}}
    )


def sql(*statements: str, write: bool = False, guard: Any = None, **effect: Any) -> Change:
    statement: Any = statements[0] if len(statements) == 1 else list(statements)
    return Change("sql", {"component": "database", "statement": statement, "write": write, **effect}, guard=guard)


def count(database: Postgres) -> int:
    ((found,),) = database.sql("SELECT count(*) FROM things")
    return int(found)


async def test_it_reads_rows_as_plain_data(system: System) -> None:
    result = await apply(system, sql(
        "SELECT 1 AS n, 1.5::numeric AS d, now() AS t, interval '90 min' AS i, '{\"a\": [1]}'::jsonb AS j, NULL AS z,"
        " ARRAY[1, 2] AS l, '\\x00ff'::bytea AS b, 'NaN'::float8 AS f, 12345678901234567890 AS big, true AS yes, 1 AS n"
    ))  # fmt: skip
    (record,) = result["records"]
    assert record | {"t": ""} == {
        "n": 1, "d": 1.5, "t": "", "i": "1h30m", "j": {"a": [1]}, "z": None, "l": [1, 2], "b": "00ff", "f": "nan",
        "big": 12345678901234567890, "yes": True, "n_2": 1,
    }  # fmt: skip
    assert (result["rows"], result["value"], result["truncated"]) == (1, 1, False)


async def test_it_prints_what_it_read(system: System, tmp_path: Path) -> None:
    out = Output()
    await apply(system, sql("SELECT id, name FROM things ORDER BY id"), out=out)
    lines = out.text.splitlines()
    assert lines[:4] == ["100 rows", "id  name", "--  ----", " 1  x"] and lines[-1] == "… 80 more rows"
    out = Output()
    await apply(system, sql("SELECT id FROM things", sensitive=True), out=out)
    assert out.text == "100 rows\n"
    (tmp_path / "key").write_text("s3cret" * 20)
    out = Output()
    await apply(system, sql("SELECT %(k)s::text AS k, 1 AS n", secrets={"k": f"file:{tmp_path}/key"}), out=out)
    assert "s3cret" not in out.text and "***" in out.text


async def test_it_keeps_the_first_thousand_rows_and_counts_all(system: System) -> None:
    result = await apply(system, sql("SELECT n, repeat('x', 100) FROM generate_series(1, 30000) n"))
    assert (result["rows"], len(result["records"]), result["truncated"]) == (30000, 1000, True)
    wide = await apply(system, sql("SELECT repeat('x', 5000000) FROM generate_series(1, 5)"))
    assert len(str(wide)) < 2_000_000


async def test_it_binds_values(system: System) -> None:
    hostile = "'; DROP TABLE things; --"
    result = await apply(system, sql("SELECT %(p1)s::text, 7 %% 4", parameters={"p1": hostile}))
    assert list(result["records"][0].values()) == [hostile, 3]
    aged = await apply(system, sql("SELECT now() - %(p1)s::interval < now()", parameters={"p1": "1h30m"}))
    assert aged["value"] is True
    many = await apply(system, sql("SELECT id FROM things WHERE id = ANY(%(p1)s)", parameters={"p1": [1, 2, 500]}))
    assert many["rows"] == 2
    found = await apply(system, sql("SELECT %(p1)s->'a'", parameters={"p1": {"a": "b"}}))
    assert found["value"] == "b"


async def test_postgresql_itself_holds_a_read_to_reading(system: System, database: Postgres) -> None:
    database.sql("GRANT ALL ON things TO monitor", "CREATE OR REPLACE FUNCTION grab() RETURNS int LANGUAGE sql AS"
                 " 'DELETE FROM things RETURNING 1'")  # fmt: skip
    for statement in [
        "DELETE FROM things",
        "WITH gone AS (DELETE FROM things RETURNING id) SELECT * FROM gone",
        "SELECT grab()",
        "SELECT 1 INTO others",
        "EXPLAIN ANALYZE DELETE FROM things",
        "SELECT nextval('jobs_id_seq')",
        "SELECT set_config('transaction_read_only', 'off', true)",
    ]:
        with pytest.raises(ReadFailed):
            await apply(system, sql(statement))
    for statements in [
        ("COMMIT", "DELETE FROM things"),
        ("SET TRANSACTION READ WRITE", "DELETE FROM things"),
        ("SET default_transaction_read_only = off", "DELETE FROM things"),
    ]:
        with pytest.raises(ReadFailed, match="is not for a change"):
            await apply(system, sql(*statements))
    assert count(database) == 100


async def test_a_text_is_one_statement(system: System, database: Postgres) -> None:
    with pytest.raises(ChangeFailed, match="multiple commands"):
        await apply(system, sql("DELETE FROM things WHERE id = %(p1)s; COMMIT", write=True, parameters={"p1": 1}))
    assert count(database) == 100


async def test_all_statements_of_a_change_happen_or_none(system: System, database: Postgres) -> None:
    with pytest.raises(ChangeFailed, match="division by zero; rolled back"):
        await apply(system, sql("DELETE FROM things", "SELECT 1/0", write=True))
    assert count(database) == 100
    result = await apply(system, sql("DELETE FROM things WHERE id <= 10", "UPDATE things SET name = 'y'", write=True))
    assert result["rows"] == 90
    assert count(database) == 90


async def test_it_writes_as_the_admin_and_reads_as_the_monitor(system: System) -> None:
    assert (await apply(system, sql("SELECT current_user::text")))["value"] == "monitor"
    assert (await apply(system, sql("SELECT current_user::text", write=True)))["value"] == "postgres"


async def test_a_ceiling_rolls_back(system: System, database: Postgres) -> None:
    with pytest.raises(Refused, match="it would affect 100 rows, and 99 at most were approved"):
        await apply(system, sql("DELETE FROM things RETURNING id", write=True, ceiling=99))
    assert count(database) == 100
    await apply(system, sql("DELETE FROM things", write=True, ceiling=100))
    assert count(database) == 0


async def test_a_guard_is_checked_in_the_same_transaction(system: System, database: Postgres) -> None:
    guard = {"statement": "SELECT count(*) = %(n)s FROM things", "parameters": {"n": 99}, "says": "99 rows were there"}
    with pytest.raises(Refused, match="99 rows were there"):
        await apply(system, sql("DELETE FROM things", write=True, guard=guard))
    assert count(database) == 100
    guard["parameters"] = {"n": 100}
    assert (await apply(system, sql("DELETE FROM things", write=True, guard=guard)))["rows"] == 100


async def test_statements_that_need_no_transaction_run_alone(system: System, database: Postgres) -> None:
    out = Output()
    await apply(system, sql("VACUUM (ANALYZE) things", write=True), out=out)
    assert out.text == "VACUUM\n"
    await apply(system, sql("CREATE INDEX CONCURRENTLY things_name ON things (name)", write=True))
    assert database.sql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'things_name'::regclass") == [(True,)]
    with pytest.raises(ChangeFailed, match="stands with others"):
        await apply(system, sql("VACUUM things", "SELECT 1", write=True))


async def test_it_does_not_wait_for_a_lock_for_long(system: System, database: Postgres) -> None:
    with database.connect() as other:
        other.autocommit = False
        other.execute("LOCK TABLE things")
        with pytest.raises(ChangeFailed, match="lock timeout") as caught:
            await apply(system, sql("DELETE FROM things", write=True, lock_timeout=0.2))
    assert "holds the lock" in str(caught.value)


async def test_a_statement_that_takes_too_long_is_rolled_back(system: System, database: Postgres) -> None:
    with pytest.raises(ChangeFailed, match="statement timeout; rolled back"):
        await apply(system, sql("DELETE FROM things", "SELECT pg_sleep(30)", write=True, timeout=0.5))
    assert count(database) == 100


async def test_a_deferred_constraint_that_fails_at_the_end_is_a_certain_failure(
    system: System, database: Postgres
) -> None:
    database.sql("ALTER TABLE things ADD parent int REFERENCES things DEFERRABLE INITIALLY DEFERRED")
    with pytest.raises(ChangeFailed, match="violates foreign key"):
        await apply(system, sql("INSERT INTO things VALUES (101, 'x', 999)", write=True))


def sessions(database: Postgres, key: str) -> int:
    ((found,),) = database.sql(
        f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{application_name(key)}'"
    )
    return int(found)


async def test_a_cancelled_change_leaves_no_session(system: System, database: Postgres) -> None:
    change, key = sql("DELETE FROM things", "SELECT pg_sleep(60)", write=True), "run/cancelled/0"
    task = asyncio.ensure_future(apply(system, change, key))
    await asyncio.to_thread(until, lambda: sessions(database, key))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sessions(database, key) == 0
    assert count(database) == 100


async def test_ending_terminates_the_session_of_the_key_alone(system: System, database: Postgres) -> None:
    change = sql("SELECT pg_sleep(60)", write=True)
    one = asyncio.ensure_future(apply(system, change, "run/one/0"))
    other = asyncio.ensure_future(apply(system, change, "run/other/0"))
    await asyncio.to_thread(until, lambda: sessions(database, "run/one/0") and sessions(database, "run/other/0"))
    assert await end(system, change, "run/one/0")
    with pytest.raises(ChangeFailed):
        await one
    assert sessions(database, "run/other/0") == 1
    assert await end(system, change, "run/other/0")
    with pytest.raises(ChangeFailed):
        await other


async def test_it_says_when_there_is_no_server(tmp_path: Path) -> None:
    url = "postgresql://someone:hunter2hunter2@127.0.0.1:1/app"
    system = make_system(tmp_path, {"database": {"kind": "postgres", "dsn": url}})
    with pytest.raises(NotReached) as caught:
        await apply(system, sql("SELECT 1"))
    assert "hunter2" not in str(caught.value)
    assert not await end(system, sql("SELECT 1"))


async def test_a_server_that_never_greets_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opsbook.connectors.postgres_change.CONNECT_SECONDS", 1.0)
    with silent_server() as port:
        url = f"postgresql://someone@127.0.0.1:{port}/app"
        system = make_system(tmp_path, {"database": {"kind": "postgres", "dsn": url}})
        with pytest.raises(NotReached, match="no greeting"):
            await apply(system, sql("SELECT 1"))


async def test_a_server_gone_in_the_middle_is_certain_before_the_end_and_ambiguous_after(tmp_path: Path) -> None:
    with new_postgres() as server:
        server.sql("CREATE TABLE things (id int)")
        system = make_system(tmp_path, {"database": {"kind": "postgres", "dsn": server.url(database="app")}})
        for change, error in [
            (sql("INSERT INTO things VALUES (1)", "SELECT pg_sleep(60)", write=True), ChangeFailed),
            (sql("VACUUM (ANALYZE) things", write=True), Ambiguous),
        ]:
            holding = server.connect()
            holding.autocommit = False
            if error is Ambiguous:
                holding.execute("LOCK TABLE things IN SHARE UPDATE EXCLUSIVE MODE")
            task = asyncio.ensure_future(apply(system, change, "run/gone/0"))
            await asyncio.to_thread(until, lambda: sessions(server, "run/gone/0"))
            await asyncio.to_thread(server.stop, "immediate")
            with pytest.raises(error):
                await task
            await asyncio.to_thread(server.start)
            assert server.sql("SELECT count(*) FROM things") == [(0,)]
