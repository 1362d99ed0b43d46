"""Restoring on a real server: beside, switched, back, in place, chosen tables; damage is named, nothing is left."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from opsbook.connectors.backups.opened import opened_backup
from opsbook.connectors.backups.pruning import FIRST, delete
from opsbook.connectors.change import Change, ChangeFailed
from opsbook.connectors.objectstore.contract import ObjectFailed
from opsbook.connectors.objectstore.folder import FolderStore
from opsbook.errors import Refused
from tests.integration.executing import Output
from tests.integration.restoring import Shop, in_small_parts, prepared
from tests.integration.servers import new_postgres, own_folder

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """One server and one backup for all tests here; each restores under names of its own."""
    with new_postgres() as server, own_folder("restore") as folder, pytest.MonkeyPatch.context() as patch:
        in_small_parts(patch)
        made = prepared(server, folder)
        asyncio.run(made.do("backup.take", backup="nightly"))
        yield made


async def test_it_restores_everything_beside_the_live_database(shop: Shop) -> None:
    told = await shop.do("postgres.restore", backup="nightly", to="twin")
    manifest = shop.newest().manifest
    assert max(part.order for part in manifest.parts if part.table == "public.orders") >= 3, "a table in several parts"
    assert shop.schema("twin") == shop.schema("shop")
    everything = "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} AS t"
    for table in manifest.database.tables:  # type: ignore[union-attr]
        assert shop.rows(everything.format(table.name), "twin") == shop.rows(everything.format(table.name)), table.name
    for query in (
        "SELECT * FROM top ORDER BY 1", "SELECT last_value, is_called FROM used", "SELECT last_value FROM untouched",
        "SELECT nextval('orders_id_seq')", "SELECT loid, data FROM pg_largeobject",
        "SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase "
        "WHERE datname = current_database() AND setrole = 0",
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()",
    ):  # fmt: skip
        assert shop.rows(query, "twin") == shop.rows(query), query
    assert shop.rows("SELECT count(*) FROM pg_stats WHERE tablename = 'orders'", "twin") != [(0,)]
    assert told["rows"] > 12_000
    assert told["amcheck"] is True
    assert [one["holds"] for one in told["asserted"]] == [True, True]
    assert "the constraint public.orders: late is not validated" in told["remarks"]
    with pytest.raises(Refused, match="there is a database twin already"):
        await shop.do("postgres.restore", backup="nightly", to="twin")
    with pytest.raises(Refused, match="is the database that is used"):
        await shop.plan("postgres.restore", backup="nightly", to="shop")


async def test_a_repeated_attempt_keeps_what_the_first_one_finished_and_undo_drops_it(shop: Shop) -> None:
    (change,) = await shop.plan("postgres.restore", backup="nightly", to="again")
    await shop.apply(change, "one/key/0")
    assert await shop.apply(change, "one/key/0") == {"database": "again", "already": True}
    assert isinstance(change.inverse, Change)
    await shop.apply(change.inverse)
    assert "again" not in shop.databases()


async def test_chosen_tables_come_alone_and_keys_between_them_are_left_out(shop: Shop) -> None:
    told = await shop.do("postgres.restore", backup="nightly", to="chosen", tables="orders, events_new")
    assert shop.rows("SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM customers)", "chosen") == [(12000, 0)]
    assert shop.rows("SELECT last_value FROM orders_id_seq", "chosen")[0][0] >= 12000
    assert [one for one in told["left_out"] if "orders_customer_fkey" in one]
    with pytest.raises(Refused, match="has no table nothing"):
        await shop.plan("postgres.restore", backup="nightly", to="other", tables="nothing")


async def test_a_switch_ends_sessions_keeps_the_old_and_can_be_taken_back(shop: Shop) -> None:
    await shop.do("postgres.restore", backup="nightly", to="shop_restored")
    shop.rows("INSERT INTO orders (customer, total) VALUES (1, 1)")
    with psycopg.connect(shop.server.url(database="shop"), autocommit=True) as app:
        app.execute("SELECT 1")
        told = await shop.do("postgres.switch_database", to="shop_restored")
        with pytest.raises(psycopg.OperationalError):
            app.execute("SELECT 1")
    kept = told["kept"]
    assert (kept, told["ended"] >= 1) == ("shop_before_restored", True)
    assert shop.rows("SELECT count(*) FROM orders") == [(12000,)]
    assert shop.rows("SELECT count(*) FROM orders", kept) == [(12001,)]
    access = "SELECT datacl::text, datconnlimit FROM pg_database WHERE datname = '{}'"
    assert shop.rows(access.format("shop")) == shop.rows(access.format(kept))
    assert shop.rows("SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase "
                     "WHERE datname = 'shop' AND setrole > 0") == [(["statement_timeout=9s"],)]  # fmt: skip

    shop.rows("INSERT INTO orders (customer, total) SELECT 1, 1 FROM generate_series(1, 5)")
    shop.rows("UPDATE orders SET note = 'x' WHERE id <= 3")
    shop.rows("SELECT pg_stat_force_next_flush()")
    with pytest.raises(Refused, match="was not kept by a switch"):
        await shop.plan("postgres.switch_back", kept="postgres")
    (back,) = await shop.plan("postgres.switch_back", kept=kept)
    assert back.evidence["written since, and not in what is used then"] == {"inserted": 5, "updated": 3, "deleted": 0}
    await shop.apply(back)
    assert shop.rows("SELECT count(*) FROM orders") == [(12001,)]
    assert shop.rows("SELECT count(*) FROM orders", back.effect["kept"]) == [(12005,)]
    with pytest.raises(Refused, match="was not made by opsbook"):
        await shop.plan("postgres.drop_database", database="postgres")
    await shop.do("postgres.drop_database", database=back.effect["kept"])
    assert back.effect["kept"] not in shop.databases()
    shop.rows("DELETE FROM orders WHERE id > 12000")


async def test_in_place_nothing_is_dropped_before_the_whole_backup_was_read(shop: Shop, tmp_path: Path) -> None:
    shop.rows("INSERT INTO orders (customer, total) VALUES (1, 77)")
    target = shop.objects()[0]
    whole = target.read_bytes()
    (change,) = await shop.plan("postgres.restore_in_place", backup="nightly")
    target.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    try:
        with pytest.raises(ChangeFailed, match=r"data-.*its bytes are not those that were stored"):
            await shop.apply(change)
    finally:
        target.write_bytes(whole)
    assert shop.rows("SELECT count(*) FROM orders WHERE total = 77 AND id > 12000") == [(1,)]
    await shop.apply(change)
    assert shop.rows("SELECT count(*) FROM orders WHERE id > 12000") == [(0,)]


async def test_rows_that_were_deleted_come_back_and_other_tables_stay(shop: Shop) -> None:
    shop.rows("INSERT INTO events VALUES (9999, '2026-05-05')")
    shop.rows("DELETE FROM customers WHERE id <= 10")
    ((left,),) = shop.rows("SELECT count(*) FROM orders")
    assert left < 12000, "their orders went with them"
    with pytest.raises(ChangeFailed, match=r"rows of public.orders would point to rows of public.customers"):
        await shop.do("postgres.restore_tables", backup="nightly", tables="orders")
    assert shop.rows("SELECT count(*) FROM orders") == [(left,)]
    told = await shop.do("postgres.restore_tables", backup="nightly", tables="orders,customers")
    assert told["removed"] == {"public.customers": 290, "public.orders": left}
    assert shop.rows("SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM customers)") == [(12000, 300)]
    assert shop.rows("SELECT count(*) FROM events WHERE id = 9999") == [(1,)]
    assert not [name for name in shop.databases() if name.startswith("opsbook_restoring")]
    shop.rows("DELETE FROM events WHERE id = 9999")


async def test_damage_is_named_and_nothing_is_left(shop: Shop) -> None:
    before = shop.databases()
    target = next(path for path in shop.objects() if "data-" in path.name)
    whole = target.read_bytes()
    (change,) = await shop.plan("postgres.restore", backup="nightly", to="damaged")
    try:
        target.write_bytes(whole[:-1])
        with pytest.raises((ChangeFailed, Refused), match=target.name):
            await shop.apply(change)
        target.unlink()
        with pytest.raises((ChangeFailed, Refused), match=target.name):
            await shop.apply(change)
        with pytest.raises(Refused, match="cannot be restored"):
            await shop.plan("postgres.restore", backup="nightly", stamp=shop.newest_stamp(), to="damaged")
    finally:
        target.write_bytes(whole)
    assert shop.databases() == before


async def test_the_good_tables_of_a_damaged_backup_can_be_rescued(shop: Shop) -> None:
    parts = {part.key.rpartition("/")[2]: part.table for part in shop.newest().manifest.parts}
    target = next(path for path in shop.objects() if parts.get(path.name) == "public.orders")
    whole = target.read_bytes()
    try:
        target.write_bytes(whole[:20] + bytes([whole[20] ^ 1]) + whole[21:])
        with pytest.raises(ChangeFailed, match=target.name):
            await shop.do("postgres.restore", backup="nightly", to="rescued")
        told = await shop.do("postgres.restore", backup="nightly", to="rescued", tables="customers,events_old")
    finally:
        target.write_bytes(whole)
    assert told["tables"] == 2
    query = "SELECT count(*), sum(id) FROM customers"
    assert shop.rows(query, "rescued") == shop.rows(query)
    shop.server.sql("DROP DATABASE rescued", database="postgres")


def test_what_a_restore_reads_is_held_and_a_store_that_cannot_be_written_to_is_told(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, told = datetime.now(UTC), list[str]()
    with opened_backup(shop.system, "nightly") as backup, backup.held_if_possible("run1/restore/0", told.append):
        why = delete(shop.system, backup.backup, FIRST, backup.manifest.stamp, "", now, shop.signer.public)
        assert why == "held: restore-run1-restore-0 (a restore reads it)"
    assert shop.newest().held(now) == ()
    assert told == []

    def refuse(*_: object, **__: object) -> None:
        raise ObjectFailed("read-only", "")

    monkeypatch.setattr(FolderStore, "put", refuse)
    with opened_backup(shop.system, "nightly") as backup, backup.held_if_possible("run1/restore/0", told.append):
        assert told == ["it cannot be held, so that a prune may take it meanwhile: read-only\n"]


async def test_a_restore_that_is_cut_off_leaves_no_database(shop: Shop) -> None:
    before = shop.databases()
    (change,) = await shop.plan("postgres.restore", backup="nightly", to="cut")
    out = Output()
    working = asyncio.ensure_future(shop.apply(change, "cut/key/0", out))
    await asyncio.wait_for(out.written.wait(), 60)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert shop.databases() == before


async def test_a_missing_role_is_named_before_anything_is_made(shop: Shop, tmp_path: Path) -> None:
    with new_postgres() as other:
        other.sql("CREATE DATABASE shop", database="postgres")
        moved = Shop(other, tmp_path, shop.signer)
        shutil.copytree(shop.store, moved.store)
        with pytest.raises(ChangeFailed, match="no role shop_app, shop_owner, shop_reader"):
            await moved.do("postgres.restore", backup="nightly", to="new")
        assert "new" not in moved.databases()


async def test_a_switch_is_refused_where_something_would_be_left_behind(shop: Shop) -> None:
    await shop.do("postgres.restore", backup="nightly", to="unswitched")
    (change,) = await shop.plan("postgres.switch_database", to="unswitched")
    shop.rows("ALTER DATABASE unswitched RENAME TO moved", "postgres")
    with pytest.raises(Refused, match="there is no database unswitched any more"):
        await shop.apply(change)
    assert "shop" in shop.databases()
    with pytest.raises(Refused, match="was not kept"):
        await shop.plan("postgres.switch_back", kept="moved")
