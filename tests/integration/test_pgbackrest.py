"""pgBackRest on a real server: configured, backed up, verified, and a database brought back as it was at a point."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from opsbook.connectors.backups.archiving import archived_of, archived_until_now
from opsbook.connectors.backups.catalogue import backup_named
from opsbook.connectors.backups.pgbackrest import Call, stanza_of
from opsbook.connectors.backups.pgbackrest_info import Repository
from opsbook.connectors.backups.postgres_restore import Target
from opsbook.connectors.change import ChangeFailed
from opsbook.errors import Refused
from tests.integration.executing import Output
from tests.integration.restoring import Shop, prepared
from tests.integration.servers import new_postgres, own_folder

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("pgbackrest") is None, reason="pgbackrest is not installed"),
    pytest.mark.xdist_group("pgbackrest"),
]


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """One server, configured, with one full backup, for all tests here; each restores under names of its own."""
    settings = {"archive_mode": "on", "archive_command": "/bin/true", "max_prepared_transactions": "3"}
    with new_postgres(**settings) as server, own_folder("pgbackrest") as folder:
        folder.chmod(0o755)
        made = prepared(server, folder)
        made.keys = {"backup": {"id": "wal", "method": "pgbackrest", "continuous": True, "keep": {"last": 2}}}
        asyncio.run(made.do("pgbackrest.configure", backup="wal"))
        asyncio.run(made.do("backup.take", backup="wal"))
        yield made


def moment(shop: Shop) -> str:
    """A time of the server before which all is committed that was, and after which what comes is not."""
    time.sleep(0.05)
    ((now,),) = shop.rows("SELECT clock_timestamp()")
    time.sleep(0.05)
    return str(now.astimezone(UTC).isoformat(sep=" "))


def held(shop: Shop) -> Repository:
    return Call(stanza_of(shop.system, backup_named(shop.system, "wal"))).info()


async def test_it_configures_for_the_servers_user_alone_and_takes_what_is_due(shop: Shop) -> None:
    stanza = stanza_of(shop.system, backup_named(shop.system, "wal"))
    assert stanza.config.stat().st_mode & 0o777 == 0o600
    assert stanza.config.owner() == shop.server.data.owner()
    ((command,),) = shop.rows("SHOW archive_command")
    assert "archive-push %p" in command
    first = held(shop).backups[0]
    assert first.type == "full"
    assert (await shop.plan("backup.take", backup="wal"))[0].effect["type"] == "incr"
    change = (await shop.plan("backup.take", backup="wal"))[0]
    out = Output()
    told = await shop.apply(change, "one/take/0", out)
    assert told["type"] == "incr"
    assert "backup size" in out.text
    again = await shop.apply(change, "one/take/0")
    assert again["label"] == told["label"], "what an earlier attempt took is found, and not taken again"
    assert len(held(shop).backups) == 2
    with pytest.raises(Refused, match="is restored to a point in time"):
        await shop.plan("postgres.restore", backup="wal", to="twin")


async def test_a_point_in_time_comes_back_beside_and_what_was_written_later_is_counted(shop: Shop) -> None:
    shop.rows("INSERT INTO orders (customer, total, note) VALUES (1, 7, 'kept')")
    before = moment(shop)
    ((then,),) = shop.rows("SELECT md5(string_agg(o::text, '|' ORDER BY id)) FROM orders AS o")
    shop.rows("DELETE FROM orders WHERE id % 3 = 0")
    shop.rows("UPDATE customers SET mood = 'fine' WHERE id < 10")
    told = await shop.do("postgres.restore_at", backup="wal", to="before_it", at=before)
    query = "SELECT md5(string_agg(o::text, '|' ORDER BY id)) FROM orders AS o"
    assert shop.rows(query, "before_it") == [(then,)]
    assert shop.schema("before_it") == shop.schema("shop")
    later = told["writes_after"]
    assert later["tables"]["public.orders"]["then"] - later["tables"]["public.orders"]["now"] == 4000
    assert later["tables"]["public.customers"] == {"then": 300, "now": 300, "changed": True}
    assert "public.parent" not in later["tables"]
    assert later["transactions"] >= 2
    assert told["stopped"].startswith("recovery stopping before commit")
    assert [one["holds"] for one in told["asserted"]] == [True, True]


async def test_only_the_rows_of_chosen_tables_come_back_into_the_live_database(shop: Shop) -> None:
    ((count,),) = shop.rows("SELECT count(*) FROM orders")
    before = moment(shop)
    shop.rows("DELETE FROM orders WHERE id % 2 = 0")
    shop.rows("DELETE FROM parent WHERE a = 77")
    shop.rows("INSERT INTO parent VALUES (77)")
    told = await shop.do("postgres.restore_tables_at", backup="wal", at=before, tables="orders")
    assert shop.rows("SELECT count(*) FROM orders") == [(count,)]
    assert shop.rows("SELECT count(*) FROM parent WHERE a = 77") == [(1,)], "the other tables stay"
    assert told["replaced"] == {"public.orders": count}
    assert [name for name in shop.databases() if name.startswith("opsbook_")] == []


async def test_a_drill_recovers_from_what_is_archived_and_measures_what_would_be_lost(shop: Shop) -> None:
    shop.rows("INSERT INTO orders (customer, total, note) VALUES (1, 3, 'archived')")
    before = moment(shop)
    where = {"host": "127.0.0.1", "port": str(shop.server.port), "user": "postgres", "dbname": "shop"}
    assert archived_until_now(Target(where), threading.Event()) == ""
    shop.rows("INSERT INTO orders (customer, total, note) VALUES (1, 3, 'not yet archived'), (2, 3, 'nor this')")
    told = await shop.do("drill.restore_at", backup="wal", assertions=["no-orphans"])
    assert (told["good"], told["problems"]) == (True, [])
    assert 0 < told["restored_seconds"] <= told["verified_seconds"] <= told["rto_seconds"]
    assert {"copied", "replayed", "verified", "assertions", "smoke"} <= set(told["phases"])
    assert told["lost"].get("public.orders", 0) in (0, 2), "0 where the server ended its segment meanwhile"
    assert told["rpo_seconds"] < 3600
    assert [one["holds"] for one in told["asserted"]] == [True]
    assert not [one for one in shop.databases() if one.startswith("opsbook_")]
    (proof,) = (shop.store / "test" / "wal" / told["label"]).glob("proof-*.json")
    assert '"good": true' in proof.read_text()

    chosen = await shop.do("drill.restore_at", backup="wal", at=before, assertions=["no-orphans"])
    assert (chosen["good"], chosen["rpo_seconds"], chosen["lost_rows"]) == (True, None, None)
    assert chosen["stopped"].startswith("recovery stopping before commit")

    shop.keys["assertions"] = [{"id": "many", "of": "database", "title": "There are many",
                                "sql": "SELECT count(*) FROM orders", "expect": "value > 9999999"}]  # fmt: skip
    try:
        wrong = await shop.do("drill.restore_at", backup="wal")
    finally:
        del shop.keys["assertions"]
    assert wrong["good"] is False
    assert wrong["problems"][0].startswith("There are many: `value > 9999999` does not hold")


async def test_a_point_that_cannot_be_reached_is_refused_with_what_is_possible(shop: Shop) -> None:
    early = (held(shop).backups[0].stop - timedelta(minutes=1)).isoformat()
    late = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    for at, words in ((early, "before the first backup"), (late, "after the last that is archived")):
        with pytest.raises(Refused, match=words) as refused:
            await shop.plan("postgres.restore_at", backup="wal", to="never", at=at)
        assert "possible is 20" in refused.value.hint
    with pytest.raises(Refused, match="which time zone") as refused:
        await shop.plan("postgres.restore_at", backup="wal", to="never", at="2026-01-02 03:04:05")
    assert "+00:00" in refused.value.hint
    for given in ({"lsn": "here"}, {"xid": "x"}, {}, {"at": "10m", "xid": "1"}, {"at": "noon"}):
        with pytest.raises(Refused):
            await shop.plan("postgres.restore_at", backup="wal", to="never", **given)


async def test_a_damaged_repository_and_a_failing_archive_are_told(shop: Shop) -> None:
    assert (await shop.do("backup.verify", backup="wal"))["good"]
    server = Target({"host": "127.0.0.1", "port": str(shop.server.port), "user": "postgres", "dbname": "shop"})
    assert (lag := archived_of(server).lag) is not None
    assert lag <= 60, "nothing waits, and the server ends a segment each minute"
    shop.rows("ALTER SYSTEM SET archive_command = '/bin/false'")
    shop.rows("SELECT pg_reload_conf()")
    try:
        assert await asyncio.to_thread(archived_until_now, server, threading.Event(), 20.0)
        assert archived_of(server).archiver.failing
        with pytest.raises(Refused, match="after the last that is archived"):
            await shop.plan("postgres.restore_at", backup="wal", to="never", at=moment(shop))
    finally:
        await shop.do("pgbackrest.configure", backup="wal")
    stanza = stanza_of(shop.system, backup_named(shop.system, "wal"))
    assert stanza.folder is not None
    label = held(shop).backups[0].label
    victim = max(
        (stanza.folder / "repository/backup").glob(f"*/{label}/pg_data/base/*/*.zst"), key=lambda p: p.stat().st_size
    )
    whole = victim.read_bytes()
    victim.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    try:
        with pytest.raises(ChangeFailed, match="the repository is damaged") as failed:
            await shop.do("backup.verify", backup="wal")
        assert victim.name in str(failed.value)
    finally:
        victim.write_bytes(whole)
