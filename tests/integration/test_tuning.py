"""Advice read from real servers, applied as one change each, and taken back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from click.testing import CliRunner

from opsbook.cli.advise import command
from opsbook.connectors.postgres import PostgresConnector
from opsbook.connectors.registry import open_connections
from opsbook.errors import Refused, UsageError
from opsbook.store.database import open_store
from opsbook.store.history import Point, record
from opsbook.upkeep.advice.contract import GIBI, Advised, Machine
from opsbook.upkeep.advice.everything import Question, advised
from opsbook.upkeep.advice.observed import DAY, History
from opsbook.upkeep.advice.servers import load_of
from tests.integration.hands import Hands, hands_on
from tests.integration.servers import Postgres, RedisServer, make_system, new_pgbouncer, new_redis

pytestmark = pytest.mark.real

SPILLS = "SELECT count(*) FROM (SELECT n FROM generate_series(1, 300000) AS n ORDER BY n DESC) AS sorted"
NOW = 1_800_000_000.0
CHECKS = [
    {"id": "connections", "observe": "postgres.connections", "of": "database", "warning": "> 50"},
    {"id": "planned", "observe": "postgres.connections_planned", "of": "database", "with": {"other": 39}},
]
MACHINE = Machine(16.0 * GIBI, 4, told="a machine of 16 GiB")


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with new_redis("--maxmemory-policy", "allkeys-lru", "--tcp-keepalive", "0") as one:
        yield one


def components(pair: tuple[Postgres, Postgres], redis: RedisServer) -> dict[str, dict[str, Any]]:
    primary, replica = pair
    address = f"redis://127.0.0.1:{redis.port}"
    return {
        "database": {"kind": "postgres", "dsn": primary.monitor, "admin": primary.url(database="app"),
                     "replica": replica.url("monitor", "app", "s3cret-word")},
        "broker": {"kind": "redis", "url": f"{address}/0"},
        "cache": {"kind": "redis", "url": f"{address}/1"},
        "worker": {"kind": "celery", "broker": "broker"},
    }  # fmt: skip


@pytest.fixture
async def hands(postgres_pair: tuple[Postgres, Postgres], redis: RedisServer, tmp_path: Path) -> AsyncIterator[Hands]:
    async with hands_on(tmp_path, components(postgres_pair, redis), checks=CHECKS) as one:
        yield one


def history(folder: Path, hands: Hands) -> History:
    store = open_store(f"sqlite:///{folder / 'store.db'}")
    points = [Point("connections", NOW - DAY + n * 3600, "ok", 5.0 + n % 30, "") for n in range(24)]
    record(store, "test", "test", points, 40 * DAY)
    return History(store, hands.connections.system, NOW)


def named(found: list[Advised], component: str) -> dict[str, Any]:
    return {each.name: each for one in found if one.component == component for each in one.advice}


async def test_load_and_use_of_real_servers_become_advice(
    hands: Hands, postgres_pair: tuple[Postgres, Postgres], tmp_path: Path
) -> None:
    primary, _ = postgres_pair
    primary.sql("SET work_mem = '64kB'", SPILLS, "SELECT pg_stat_force_next_flush()")
    known = history(tmp_path, hands)
    connector = hands.connections.of("database")
    assert isinstance(connector, PostgresConnector)
    load = await load_of(connector, known)
    assert load.temporary_files >= 1 and load.temporary > 1e6
    assert (load.peak, load.peak_over) == (28.0, "in 23 h of `connections`")
    assert load.planned == 39 and load.settings["max_connections"].value == 40
    assert load.settings["shared_buffers"].value == 32 << 20 and load.settings["shared_buffers"].restart
    assert load.wal_rate is not None and load.databases > 1e6

    found = await advised(
        hands.connections, known, Question(["database", "broker", "cache"], machine=MACHINE, enough=0)
    )
    database = named(found, "database")
    assert (database["shared_buffers"].now, database["shared_buffers"].advised) == ("32MB", "128MB")
    assert "temporary files" in database["work_mem"].why
    assert "pools may open 39" in database["max_connections"].why
    broker = named(found, "broker")
    assert broker["maxmemory-policy"].advised == "volatile-lru", "its queues share the server with a cache"
    assert broker["tcp-keepalive"].advised == "300" and broker["appendonly"].advised == "yes"
    assert not named(found, "cache"), "one server is asked once"
    (short, *_) = await advised(hands.connections, known, Question(["database"], machine=MACHINE, enough=1e9))
    assert "too short to judge" in " ".join(short.untold)


async def test_what_is_accepted_is_set_as_one_and_every_setting_goes_back(
    hands: Hands, postgres_pair: tuple[Postgres, Postgres], redis: RedisServer
) -> None:
    primary, _ = postgres_pair
    wanted = "work_mem=9MB, shared_buffers=64MB, autovacuum_vacuum_scale_factor of public.jobs=0.02"
    changes = await hands.plan("postgres.tune", of="database", settings=wanted)
    assert [change.kind for change in changes] == ["postgres-setting", "postgres-setting", "sql"]
    for number, change in enumerate(changes):
        await hands.apply(change, f"run/tune/{number}")
    assert primary.sql("SHOW work_mem") == [("9MB",)]
    assert primary.sql("SELECT setting, pending_restart FROM pg_settings WHERE name = 'shared_buffers'") == [
        ("4096", True)
    ]
    options = "SELECT reloptions FROM pg_class WHERE relname = 'jobs'"
    assert primary.sql(options) == [(["autovacuum_vacuum_scale_factor=0.02"],)]
    for change in reversed(changes):
        await hands.undo(change)
    assert primary.sql("SHOW work_mem") == [("4MB",)] and primary.sql(options) == [(None,)]

    changes = await hands.plan("redis.tune", of="broker", settings="tcp-keepalive=120; maxmemory=64mb")
    for number, change in enumerate(changes):
        await hands.apply(change, f"run/redis/{number}")
    told = await hands.facts.observe("redis.memory_ratio", "broker")
    assert "64" in told.message or "67" in told.message
    for change in reversed(changes):
        await hands.undo(change)

    refused = {
        "max_connections=500": "has max_connections = 40: with 500 on the primary it would stop replaying",
        "shared_buffers=4TB": "it might not start",
        "fillfactor of public.no_such=80": "there is no table",
        "security_barrier of public.jobs=on": "no storage parameter",
        "no_such=1": "has no setting",
    }
    for settings, why in refused.items():
        with pytest.raises(Refused, match=why):
            await hands.plan("postgres.tune", of="database", settings=settings)
    for settings in ("work_mem", "", "work_mem=1MB, work_mem=2MB", "work_mem of = 3"):
        with pytest.raises(ValueError, match="settings"):
            await hands.plan("postgres.tune", of="database", settings=settings)


async def test_clients_that_wait_for_a_real_pool_are_told_of(postgres_server: Postgres, tmp_path: Path) -> None:
    with new_pgbouncer(postgres_server, mode="session", pool_size=1) as bouncer:
        system = make_system(tmp_path, {"pool": {"kind": "pgbouncer", "dsn": bouncer.url("pgbouncer")}})
        known = History(open_store(f"sqlite:///{tmp_path / 'store.db'}"), system, NOW)
        async with open_connections(system) as connections:
            with psycopg.connect(bouncer.url("app"), autocommit=True) as holder:
                holder.execute("SELECT 1")
                with closing(psycopg.connect(bouncer.url("app"), autocommit=True)) as late:
                    late.pgconn.send_query(b"SELECT 2")
                    for _ in range(100):
                        connections.forget()
                        (found,) = await advised(connections, known, Question(["pool"]))
                        if found.advice:
                            break
                        await asyncio.sleep(0.1)
                    (one,) = found.advice
    assert (one.name, one.now, one.advised, one.needs) == ("pool_size of app", "1", "2", "reload")


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPSBOOK_STORE", str(tmp_path / "store.db"))
    model = {
        "opsbook": 1, "system": "t", "environments": {"test": {"policy": "open"}},
        "components": {"cache": {"kind": "redis", "url": "redis://127.0.0.1:1"}},
    }  # fmt: skip
    (tmp_path / "book.yaml").write_text(yaml.safe_dump(model))
    return tmp_path


def test_a_server_that_does_not_answer_is_told_and_nothing_is_guessed(book: Path) -> None:
    done = CliRunner().invoke(command, ["--book", str(book), "--format", "json"], standalone_mode=False)
    assert done.return_value == 0, done.exception
    (found,) = json.loads(done.stdout)
    assert (found["component"], found["of"], found["advice"], found["run"]) == ("cache", "settings", [], "")
    assert "127.0.0.1:1" in found["untold"][0]


@pytest.mark.parametrize("options", [["--memory", "5m"], ["--enough", "much"], ["no-such"]])
def test_what_is_said_wrongly_is_refused_with_an_example(book: Path, options: list[str]) -> None:
    done = CliRunner().invoke(command, ["--book", str(book), *options], standalone_mode=False)
    assert isinstance(done.exception, UsageError)
