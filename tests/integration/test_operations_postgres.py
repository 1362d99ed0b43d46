"""Operations of PostgreSQL: planned by a role that can only read, applied, looked at, undone."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from opsbook.connectors.change import Change, ChangeFailed
from opsbook.connectors.contract import ReadFailed
from opsbook.errors import Refused
from tests.integration.hands import Hands, hands_on
from tests.integration.servers import Postgres, new_pair, new_postgres, until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """One server for these tests; each makes what it breaks."""
    with new_postgres() as one:
        one.sql("ALTER ROLE stranger IN DATABASE app SET search_path = elsewhere", "CREATE SCHEMA shop")
        yield one


@pytest.fixture
async def hands(server: Postgres, tmp_path: Path) -> AsyncIterator[Hands]:
    async with hands_on(tmp_path, database(server)) as one:
        yield one


def database(server: Postgres) -> dict[str, dict[str, Any]]:
    return {"database": {"kind": "postgres", "dsn": server.monitor, "admin": server.url(database="app")}}


def value(server: Postgres, sql: str) -> Any:
    return server.sql(sql)[0][0]


@pytest.fixture
def table(server: Postgres) -> Iterator[str]:
    """A table of 10,000 rows, a day apart, with dead ones."""
    server.sql(
        "CREATE TABLE shop.orders (id serial PRIMARY KEY, state text, at timestamptz)",
        "INSERT INTO shop.orders (state, at) SELECT 'new', now() - n * interval '1h' FROM generate_series(1, 10000) n",
        "CREATE INDEX orders_state ON shop.orders (state)",
        "ANALYZE shop.orders",
    )
    yield "shop.orders"
    server.sql("DROP TABLE IF EXISTS shop.orders")


class TestVacuum:
    async def test_it_reclaims_dead_rows_and_renews_statistics(
        self, hands: Hands, server: Postgres, table: str
    ) -> None:
        server.sql("DELETE FROM shop.orders WHERE id > 5000")
        change = await hands.only("postgres.vacuum", of="database", tables=["orders"])
        assert change.effect["statement"] == 'VACUUM (ANALYZE) "shop"."orders"', "a bare name is found in its schema"
        await hands.apply(change)
        assert value(server, "SELECT reltuples FROM pg_class WHERE oid = 'shop.orders'::regclass") == 5000

    async def test_it_tells_how_long_a_rewrite_locked_others_out(
        self, hands: Hands, server: Postgres, table: str
    ) -> None:
        server.sql("DELETE FROM shop.orders WHERE id > 100")
        before = value(server, "SELECT pg_table_size('shop.orders')")
        change = await hands.only("postgres.vacuum_full", of="database", table=table)
        assert change.evidence["free"] > 0, "the server runs on this machine"
        with server.connect() as holder, holder.transaction():
            holder.execute("SELECT FROM shop.orders LIMIT 1")
            applied = asyncio.ensure_future(hands.apply(change))
            await asyncio.to_thread(until, lambda: value(server, WAITING), what="it waits for the lock")
            await asyncio.sleep(0.5)
        result = await applied
        assert result["waited_seconds"] >= 0.4
        assert 0 <= result["locked_seconds"] < result["seconds"] - 0.3
        assert value(server, "SELECT pg_table_size('shop.orders')") < before

    async def test_it_gives_up_where_the_lock_is_not_to_be_had(
        self, hands: Hands, server: Postgres, table: str
    ) -> None:
        change = await hands.only("postgres.vacuum_full", of="database", table=table, wait=0.2)
        with server.connect() as holder, holder.transaction():
            holder.execute("SELECT FROM shop.orders LIMIT 1")
            with pytest.raises(ChangeFailed, match="lock"):
                await hands.apply(change)

    async def test_it_refuses_a_table_that_is_not_there_or_not_one(
        self, hands: Hands, server: Postgres, table: str
    ) -> None:
        with pytest.raises(Refused, match=r"no table shop\.order,"):
            await hands.plan("postgres.vacuum", of="database", tables=["shop.order"])
        server.sql("CREATE TABLE public.orders (id int)")
        try:
            with pytest.raises(Refused, match=r"public\.orders, shop\.orders|shop\.orders, public\.orders"):
                await hands.plan("postgres.analyze", of="database", tables=["orders"])
        finally:
            server.sql("DROP TABLE public.orders")


WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'opsbook:%'"


class TestIndexes:
    async def test_a_reindex_removes_the_invalid_leftovers(self, hands: Hands, server: Postgres, table: str) -> None:
        server.sql(
            "CREATE INDEX orders_state_ccnew ON shop.orders (state)",
            "CREATE INDEX orders_state_ccold1 ON shop.orders (state)",
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid::regclass::text LIKE 'shop.orders_state_cc%'",
        )
        change = await hands.only("postgres.reindex", of="database", table=table)
        assert change.evidence["invalid"] == ["orders_state_ccnew", "orders_state_ccold1"]
        result = await hands.apply(change)
        assert result["dropped"] == ["shop.orders_state_ccnew", "shop.orders_state_ccold1"]
        names = [row[0] for row in server.sql("SELECT indexname FROM pg_indexes WHERE tablename = 'orders' ORDER BY 1")]
        assert names == ["orders_pkey", "orders_state"]

    async def test_an_index_that_was_cut_off_is_made_again(self, hands: Hands, server: Postgres, table: str) -> None:
        server.sql("INSERT INTO shop.orders (state, at) SELECT 'twice', now() FROM generate_series(1, 2)")
        parameters = {"of": "database", "table": table, "columns": ["at"], "unique": True}
        change = await hands.only("postgres.create_index", **parameters)
        with pytest.raises(ChangeFailed, match="could not create unique index"):
            await hands.apply(change)
        assert server.sql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'shop.orders_at_idx'::regclass") == [
            (False,)
        ]
        server.sql("DELETE FROM shop.orders WHERE state = 'twice'")
        result = await hands.apply(change)  # the very same change, as after a crash
        assert result["dropped"] == ["shop.orders_at_idx"]
        assert server.sql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'shop.orders_at_idx'::regclass") == [
            (True,)
        ]
        await hands.undo(change)
        assert value(server, "SELECT to_regclass('shop.orders_at_idx')") is None

    async def test_it_refuses_a_name_that_another_index_has(self, hands: Hands, table: str) -> None:
        with pytest.raises(Refused, match="another index orders_state"):
            await hands.plan("postgres.create_index", of="database", table=table, columns=["at"], name="orders_state")
        same = await hands.only(
            "postgres.create_index", of="database", table=table, columns=["state"], name="orders_state"
        )
        assert same.inverse == "it was there before"

    async def test_a_dropped_index_comes_back(self, hands: Hands, server: Postgres, table: str) -> None:
        change = await hands.only("postgres.drop_index", of="database", table=table, index="orders_state")
        await hands.apply(change)
        assert value(server, "SELECT to_regclass('shop.orders_state')") is None
        await hands.undo(change)
        assert value(server, "SELECT to_regclass('shop.orders_state')") is not None
        with pytest.raises(Refused, match="upholds a constraint"):
            await hands.plan("postgres.drop_index", of="database", table=table, index="orders_pkey")

    async def test_it_leaves_an_index_alone_that_somebody_else_builds(
        self, hands: Hands, server: Postgres, table: str
    ) -> None:
        change = await hands.only("postgres.create_index", of="database", table=table, columns=["at"])
        with server.connect() as builder, server.connect() as reader:
            reader.execute("BEGIN")
            reader.execute("INSERT INTO shop.orders (state) VALUES ('held')")
            building = asyncio.ensure_future(
                asyncio.to_thread(builder.execute, "CREATE INDEX CONCURRENTLY orders_at_idx ON shop.orders (at)")
            )
            progress = "SELECT count(*) FROM pg_stat_progress_create_index"
            await asyncio.to_thread(until, lambda: value(server, progress), what="it is being built")
            with pytest.raises(Refused, match="being built by somebody else"):
                await hands.apply(change)
            reader.execute("ROLLBACK")
            await building


class TestSessions:
    async def test_it_ends_the_sessions_of_the_scope_and_no_others(self, hands: Hands, server: Postgres) -> None:
        with (
            server.connect(application_name="batch") as idle,
            server.connect(application_name="web") as other,
            server.connect(application_name="opsbook") as own,
            server.connect() as unnamed,
        ):
            idle.execute("BEGIN")
            change = await hands.only(
                "postgres.terminate", of="database", state="idle in transaction", application="batch"
            )
            assert change.evidence["count"] == 1
            result = await hands.apply(change)
            assert [row["ended"] for row in result["records"]] == [True]
            with pytest.raises(psycopg.Error):
                idle.execute("SELECT 1")
            assert all(one.execute("SELECT 1").fetchone() for one in (other, own, unnamed))
            await hands.do("postgres.terminate", of="database", user="postgres")
            assert own.execute("SELECT 1").fetchone(), "opsbook's own sessions stay"
            with pytest.raises(psycopg.Error):
                other.execute("SELECT 1")

    async def test_it_cancels_old_statements_and_keeps_their_sessions(self, hands: Hands, server: Postgres) -> None:
        with server.connect(application_name="slow") as slow:
            running = asyncio.ensure_future(asyncio.to_thread(slow.execute, "SELECT pg_sleep(60)"))
            active = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'slow' AND state = 'active'"
            await asyncio.to_thread(until, lambda: value(server, active), what="it runs")
            assert (await hands.only("postgres.cancel", of="database", older_than="1h")).evidence["count"] == 0
            await asyncio.sleep(0.1)
            await hands.do("postgres.cancel", of="database", older_than="50ms", application="slow")
            with pytest.raises(psycopg.errors.QueryCanceled):
                await running
            assert slow.execute("SELECT 1").fetchone()

    async def test_it_never_meets_replication(self, tmp_path: Path) -> None:
        with new_pair() as (primary, _):
            async with hands_on(tmp_path, database(primary)) as hands:
                sender = "SELECT pid FROM pg_stat_replication"
                pid = value(primary, sender)
                change = await hands.only("postgres.terminate", of="database", user="postgres", application="standby")
                assert change.evidence["count"] == 0
                await hands.do("postgres.terminate", of="database", user="postgres")
                assert value(primary, sender) == pid

    async def test_with_more_than_allowed_nothing_is_ended(self, hands: Hands, server: Postgres) -> None:
        with server.connect(application_name="many") as one, server.connect(application_name="many") as two:
            change = await hands.only("postgres.terminate", of="database", application="many", most=1)
            with pytest.raises(Refused, match="more than 1 sessions are met"):
                await hands.apply(change)
            assert one.execute("SELECT 1").fetchone()
            assert two.execute("SELECT 1").fetchone()

    async def test_it_tells_of_sessions_that_its_role_may_not_end(self, server: Postgres, tmp_path: Path) -> None:
        server.sql("CREATE ROLE helper LOGIN PASSWORD 'w' IN ROLE pg_signal_backend, pg_monitor")
        try:
            helper = server.url("helper", "app", "w")
            only = {"database": {"kind": "postgres", "dsn": server.monitor, "admin": helper}}
            async with hands_on(tmp_path, only) as hands:
                with (
                    server.connect(application_name="mixed") as root,
                    psycopg.connect(server.url("stranger", "app", "s3cret-word"), application_name="mixed"),
                ):
                    result = await hands.do("postgres.terminate", of="database", application="mixed")
                    ended = {row["user"]: row["ended"] for row in result["records"]}
                    assert ended == {"postgres": None, "stranger": True}
                    assert root.execute("SELECT 1").fetchone()
        finally:
            server.sql("DROP ROLE helper")


class TestSettings:
    async def test_it_sets_reloads_reads_back_and_undoes(self, hands: Hands, server: Postgres) -> None:
        change = await hands.only("postgres.setting", of="database", name="work_mem", value="13 MB")
        assert change.evidence == {"now": "4MB", "to": "13 MB", "restart needed": False}
        assert await hands.apply(change) == {"now": "13MB", "pending_restart": False}
        assert value(server, "SHOW work_mem") == "13MB"
        again = await hands.only("postgres.setting", of="database", name="work_mem", value="14MB")
        await hands.apply(again)
        await hands.undo(again)
        assert value(server, "SHOW work_mem") == "13MB", "what ALTER SYSTEM said before"
        await hands.undo(change)
        assert value(server, "SHOW work_mem") == "4MB"
        assert "work_mem" not in (server.data / "postgresql.auto.conf").read_text()

    async def test_it_tells_that_a_restart_is_needed(self, hands: Hands, server: Postgres) -> None:
        change = await hands.only("postgres.setting", of="database", name="max_connections", value="41")
        assert change.evidence["restart needed"] is True
        result = await hands.apply(change)
        assert result == {"now": "40", "pending_restart": True}
        assert "next restart" in hands.out.text
        follow = await hands.only("postgres.setting", of="database", name="max_connections", value="42")
        assert isinstance(follow.inverse, str), "what waits for the restart cannot be read, so it cannot be put back"
        await hands.undo(change)
        assert value(server, "SELECT pending_restart FROM pg_settings WHERE name = 'max_connections'") is False

    @pytest.mark.parametrize(
        ("name", "written", "reason"),
        [
            ("work_mem", "lots", "is a number"),
            ("work_mem", "1", "cannot be 1"),
            ("work_mem", "3parsec", "cannot be given in 'parsec'"),
            ("autovacuum", "perhaps", "is a switch"),
            ("wal_level", "tiny", "cannot be 'tiny'"),
            ("block_size", "4096", "fixed"),
            ("work_memory", "1MB", "no setting"),
            ("primary_conninfo", "password=x", "holds a secret"),
            ("shared_preload_libraries", "", "empty element"),
        ],
    )
    async def test_it_refuses_what_the_server_would_not_take(
        self, hands: Hands, name: str, written: str, reason: str
    ) -> None:
        with pytest.raises(Refused, match=reason):
            await hands.plan("postgres.setting", of="database", name=name, value=written)

    async def test_lists_stay_lists(self, hands: Hands, server: Postgres) -> None:
        change = await hands.only("postgres.setting", of="database", name="search_path", value='"$user", shop')
        await hands.apply(change)
        assert value(server, "SHOW search_path") == '"$user", shop'
        await hands.undo(change)

    async def test_it_says_which_database_or_role_it_does_not_reach(self, hands: Hands, server: Postgres) -> None:
        server.sql("ALTER DATABASE app SET temp_buffers = '9MB'")
        try:
            change = await hands.only("postgres.setting", of="database", name="temp_buffers", value="10MB")
            assert change.evidence["does not reach"] == ["app, every role"]
            assert "value of its own" in (await hands.apply(change))["note"]
            await hands.undo(change)
        finally:
            server.sql("ALTER DATABASE app RESET temp_buffers")

    async def test_every_kind_of_value_is_read_back_as_it_was_set(self, hands: Hands, server: Postgres) -> None:
        for name, written, shown in (
            ("random_page_cost", "1.1", "1.1"),
            ("autovacuum_naptime", "2min", "2min"),
            ("log_min_duration_statement", "1500ms", "1500ms"),
            ("log_statement", "DDL", "ddl"),
            ("checkpoint_completion_target", "0.85", "0.85"),
            ("log_checkpoints", "no", "off"),
            ("effective_cache_size", "1.5GB", "1536MB"),
        ):
            change = await hands.only("postgres.setting", of="database", name=name, value=written)
            assert (await hands.apply(change))["now"] == shown
            await hands.undo(change)


class TestRoles:
    async def test_a_role_is_made_changed_and_undone(self, hands: Hands, server: Postgres) -> None:
        role = 'o\'dd "$opsbook$" role'
        made = await hands.only("postgres.role", of="database", role=role, connections=3, member_of=["pg_monitor"])
        await hands.apply(made)
        await hands.apply(made)  # again, as after a crash
        facts = "SELECT rolcanlogin, rolconnlimit FROM pg_roles WHERE rolname LIKE 'o''dd%'"
        assert server.sql(facts) == [(True, 3)]
        changed = await hands.only("postgres.role", of="database", role=role, login=False)
        await hands.apply(changed)
        assert server.sql(facts) == [(False, -1)]
        await hands.undo(changed)
        assert server.sql(facts) == [(True, 3)]
        await hands.undo(made)
        assert server.sql(facts) == []

    async def test_it_takes_back_only_the_rights_that_it_gave(self, hands: Hands, server: Postgres, table: str) -> None:
        server.sql("GRANT SELECT ON shop.orders TO stranger")
        change = await hands.only(
            "postgres.grant", of="database", role="stranger", privileges=["SELECT", "INSERT"], tables=[table]
        )
        await hands.apply(change)
        may = "SELECT has_table_privilege('stranger', 'shop.orders', '{}')".format
        assert value(server, may("INSERT"))
        await hands.undo(change)
        assert (value(server, may("SELECT")), value(server, may("INSERT"))) == (True, False)

    async def test_rights_on_a_schema_reach_what_comes_later(self, hands: Hands, server: Postgres, table: str) -> None:
        parameters = {"of": "database", "role": "stranger", "privileges": ["SELECT", "INSERT"], "schema": "shop"}
        change = await hands.only("postgres.grant", **parameters)
        await hands.apply(change)
        server.sql("CREATE TABLE shop.later (id serial)")
        try:
            with psycopg.connect(server.url("stranger", "app", "s3cret-word"), autocommit=True) as stranger:
                stranger.execute("INSERT INTO shop.later DEFAULT VALUES")
                stranger.execute("INSERT INTO shop.orders (state) VALUES ('x')")
                await hands.do("postgres.revoke", **parameters)
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    stranger.execute("SELECT FROM shop.later")
            await hands.undo(change)
            acl = "SELECT count(*) FROM pg_default_acl"
            assert value(server, acl) == 0
        finally:
            server.sql("DROP TABLE shop.later")

    async def test_what_it_had_of_a_schema_stays_when_it_is_undone(
        self, hands: Hands, server: Postgres, table: str
    ) -> None:
        # The schema is everybody's, as `public` once was: the role has no right of its own on it, and uses it.
        server.sql("CREATE SEQUENCE shop.numbers")
        server.sql("GRANT USAGE ON SCHEMA shop TO PUBLIC")
        server.sql("GRANT USAGE ON SEQUENCE shop.numbers TO stranger")
        server.sql("ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO stranger")
        held = "SELECT has_sequence_privilege('stranger', 'shop.numbers', 'USAGE'), has_schema_privilege('stranger', 'shop', 'USAGE')"  # noqa: E501
        later = "SELECT defaclacl::text FROM pg_default_acl"
        before = (server.sql(held), server.sql(later))
        try:
            change = await hands.only(
                "postgres.grant", of="database", role="stranger", privileges=["SELECT", "INSERT"], schema="shop"
            )
            await hands.apply(change)
            await hands.undo(change)
            assert (server.sql(held), server.sql(later)) == before
        finally:
            server.sql("ALTER DEFAULT PRIVILEGES IN SCHEMA shop REVOKE SELECT ON TABLES FROM stranger")
            server.sql("REVOKE USAGE ON SCHEMA shop FROM PUBLIC")
            server.sql("DROP SEQUENCE shop.numbers")

    async def test_it_refuses_a_role_that_is_not_there(self, hands: Hands, table: str) -> None:
        with pytest.raises(Refused, match="no role nobody"):
            await hands.plan("postgres.grant", of="database", role="nobody", privileges=["SELECT"], tables=[table])
        with pytest.raises(Refused, match="superuser"):
            await hands.plan("postgres.role", of="database", role="postgres", login=False)


class TestPurge:
    async def test_it_deletes_old_rows_in_batches_and_counts_them(
        self, hands: Hands, server: Postgres, table: str
    ) -> None:
        server.sql("GRANT USAGE ON SCHEMA shop TO monitor", "GRANT SELECT ON shop.orders TO monitor")
        for index in ("", "CREATE INDEX orders_at ON shop.orders (at)"):
            server.sql(
                index or "SELECT 1", "INSERT INTO shop.orders (state, at) SELECT 'x', NULL FROM generate_series(1, 3)"
            )
            age = "100d" if not index else "50d"
            change = await hands.only(
                "postgres.purge", of="database", table=table, column="at", older_than=age, batch=1000
            )
            assert change.evidence["indexed"] is bool(index)
            result = await hands.apply(change)
            assert result["deleted"] == change.evidence["rows"] > 1000
            old = f"SELECT count(*) FROM shop.orders WHERE at < now() - interval '{age[:-1]} days'"
            assert value(server, old) == 0
        assert value(server, "SELECT count(*) FROM shop.orders WHERE at IS NULL") == 6
        assert value(server, "SELECT count(*) FROM shop.orders WHERE at IS NOT NULL") == 1199

    async def test_it_goes_on_from_its_cursor(self, hands: Hands, server: Postgres, table: str) -> None:
        server.sql("GRANT USAGE ON SCHEMA shop TO monitor", "GRANT SELECT ON shop.orders TO monitor")
        change = await hands.only("postgres.purge", of="database", table=table, column="at", older_than="200d")
        before = value(server, "SELECT (now() - interval '200 days')::text")
        result = await hands.apply(change, cursor={"before": before, "deleted": 77, "from": None})
        assert result["deleted"] == 77 + change.evidence["rows"]

    async def test_above_the_ceiling_nothing_goes(self, hands: Hands, server: Postgres, table: str) -> None:
        server.sql("GRANT USAGE ON SCHEMA shop TO monitor", "GRANT SELECT ON shop.orders TO monitor")
        parameters = {"of": "database", "table": table, "column": "at", "older_than": "300d"}
        with pytest.raises(Refused, match="more than the 10 allowed"):
            await hands.plan("postgres.purge", **parameters, most=10)
        change = await hands.only("postgres.purge", **parameters, most=3000)
        server.sql("INSERT INTO shop.orders (at) SELECT now() - interval '2 years' FROM generate_series(1, 1000)")
        with pytest.raises(Refused, match="nothing was deleted"):
            await hands.apply(change)
        assert value(server, "SELECT count(*) FROM shop.orders") == 11000

    async def test_rows_of_other_partitions_stay(self, hands: Hands, server: Postgres) -> None:
        server.sql(
            "CREATE TABLE shop.events (at timestamp, n int) PARTITION BY RANGE (at)",
            "CREATE TABLE shop.events_old PARTITION OF shop.events FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
            "CREATE TABLE shop.events_new PARTITION OF shop.events FOR VALUES FROM ('2021-01-01') TO ('2999-01-01')",
            "INSERT INTO shop.events SELECT '2020-06-01', n FROM generate_series(1, 500) n",
            "INSERT INTO shop.events SELECT now(), n FROM generate_series(1, 500) n",
            "GRANT USAGE ON SCHEMA shop TO monitor",
            "GRANT SELECT ON shop.events TO monitor",
        )
        try:
            parameters = {"table": "shop.events", "column": "at", "older_than": "365d", "batch": 100}
            result = await hands.do("postgres.purge", of="database", **parameters)
            assert result["deleted"] == 500
            assert value(server, "SELECT count(*) FROM shop.events_new") == 500
        finally:
            server.sql("DROP TABLE shop.events")


class TestSlots:
    async def test_it_drops_an_unused_slot_and_shows_why(self, hands: Hands, server: Postgres) -> None:
        server.sql("SELECT pg_create_physical_replication_slot('left', true)")
        change = await hands.only("postgres.drop_slot", of="database", slot="left")
        assert change.evidence["retained_bytes"] >= 0
        assert change.evidence["wal_status"] == "reserved"
        assert (await hands.apply(change))["records"] == [{"slot": "left", "dropped": ""}]
        assert (await hands.apply(change))["rows"] == 0, "again, as after a crash"

    async def test_it_leaves_a_slot_that_is_used_or_was_meanwhile(self, tmp_path: Path) -> None:
        with new_pair() as (primary, replica):
            async with hands_on(tmp_path, database(primary)) as hands:
                with pytest.raises(Refused, match="in use"):
                    await hands.plan("postgres.drop_slot", of="database", slot="standby")
                replica.stop()
                inactive = "SELECT NOT active FROM pg_replication_slots"
                await asyncio.to_thread(until, lambda: value(primary, inactive), what="the slot is free")
                change = await hands.only("postgres.drop_slot", of="database", slot="standby")
                replica.start()
                await asyncio.to_thread(until, lambda: not value(primary, inactive), what="the slot is used")
                with pytest.raises(Refused, match="somebody reads the slot"):
                    await hands.apply(change)


class TestQueries:
    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT * FROM jobs WHERE state = $1 AND id > $2",
            "SELECT '$3', count(*) FROM jobs WHERE created_at > now() - $1::interval GROUP BY state LIMIT $2",
            "UPDATE jobs SET payload = $2 WHERE id = $1",
            "SELECT 1",
            "SELECT * FROM jobs WHERE payload LIKE 'a%'",
        ],
    )
    async def test_it_explains_statements_as_they_are_kept(self, server: Postgres, tmp_path: Path, sql: str) -> None:
        server.sql("GRANT UPDATE ON jobs TO monitor")
        async with hands_on(tmp_path, database(server)) as hands:
            result = await hands.do("postgres.explain", of="database", statement=sql)
            plan = "\n".join(row["QUERY PLAN"] for row in result["records"])
            assert "cost=" in plan
            assert value(server, "SELECT count(*) FROM jobs") == 20000

    @pytest.mark.parametrize("sql", ["DROP TABLE jobs", "SELECT 1; DROP TABLE jobs", "ANALYZE SELECT 1"])
    async def test_it_explains_only_statements(self, hands: Hands, sql: str) -> None:
        with pytest.raises(Refused):
            await hands.plan("postgres.explain", of="database", statement=sql)

    async def test_a_query_only_reads(self, hands: Hands) -> None:
        result = await hands.do("postgres.query", of="database", sql="SELECT count(*) AS n FROM jobs")
        assert (result["value"], result["rows"]) == (20000, 1)
        for sql in ("DELETE FROM jobs", "SELECT pg_reload_conf(), set_config('transaction_read_only', 'off', true)"):
            with pytest.raises((ReadFailed, ChangeFailed)):
                await hands.do("postgres.query", of="database", sql=sql)


async def test_planning_is_done_by_a_role_that_can_only_read(server: Postgres, tmp_path: Path, table: str) -> None:
    """The admin URL is one that cannot be reached: plans do not need it."""
    server.sql("GRANT USAGE ON SCHEMA shop TO monitor", "GRANT SELECT ON shop.orders TO monitor")
    nowhere = {"kind": "postgres", "dsn": server.monitor, "admin": "postgresql://nobody@127.0.0.1:1/none"}
    everything: dict[str, dict[str, Any]] = {
        "postgres.vacuum": {},
        "postgres.analyze": {"tables": [table]},
        "postgres.vacuum_full": {"table": table},
        "postgres.reindex": {"table": table},
        "postgres.create_index": {"table": table, "columns": ["at"]},
        "postgres.drop_index": {"table": table, "index": "orders_state"},
        "postgres.terminate": {"older_than": "1h"},
        "postgres.cancel": {"older_than": "1h"},
        "postgres.setting": {"name": "work_mem", "value": "5MB"},
        "postgres.reset_setting": {"name": "work_mem"},
        "postgres.role": {"role": "new"},
        "postgres.grant": {"role": "stranger", "privileges": ["SELECT"], "schema": "shop"},
        "postgres.revoke": {"role": "stranger", "privileges": ["SELECT"], "tables": [table]},
        "postgres.purge": {"table": table, "column": "at", "older_than": "1d"},
        "postgres.drop_slot": {"slot": "none"},
        "postgres.explain": {"statement": "SELECT 1"},
        "postgres.query": {"sql": "SELECT 1"},
        "postgres.tune": {"settings": "work_mem=5MB"},
    }
    from opsbook.operations.registry import operations

    of_recovery = re.compile(r"restore|switch|drop_database|fence|promote|repoint|rebuild|wait_served|replica|standbys")
    here = {name for name in operations() if name.startswith("postgres.") and not of_recovery.search(name)}
    assert set(everything) == here, "those of recovery read backups and servers of a pair: their own tests plan them"
    async with hands_on(tmp_path, {"database": nowhere}) as hands:
        for name, parameters in everything.items():
            started = time.monotonic()
            changes = await hands.plan(name, of="database", **parameters)
            assert changes, name
            assert all(isinstance(change, Change) for change in changes)
            assert time.monotonic() - started < 5, name
