"""Old rows of a real table, archived before they go: read back, counted, killed between."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from opsbook.book.inactive import inactive_keys
from opsbook.connectors.backups.compression import LEVEL, opener, squeezer
from opsbook.connectors.change import Change, ChangeFailed
from opsbook.connectors.executors import rows_archive
from opsbook.connectors.registry import OpenConnections
from opsbook.errors import Refused
from opsbook.recovery.packaged import packaged_procedures
from tests.integration.dying import dies
from tests.integration.hands import Hands
from tests.integration.servers import Postgres, make_system, new_postgres

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]
ROWS = 1000
AGED = "at < now() - interval '365 days'"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with new_postgres() as found:
        found.sql("CREATE DATABASE shop", database="postgres")
        yield found


class Shop:
    """A table whose old rows hold all that CSV may stumble over."""

    def __init__(self, server: Postgres, folder: Path) -> None:
        self.server, self.store = server, folder / "store"
        self.sql(
            "DROP SCHEMA IF EXISTS shop CASCADE", "CREATE SCHEMA shop",
            'CREATE TABLE shop."Events %" (n int, at timestamptz, note text, raw bytea) PARTITION BY RANGE (at)',
            'CREATE TABLE shop.old PARTITION OF shop."Events %" FOR VALUES FROM (\'2000-01-01\') TO (\'2020-01-01\')',
            'CREATE TABLE shop.new PARTITION OF shop."Events %" DEFAULT',
            "INSERT INTO shop.\"Events %\" SELECT n, timestamptz '2019-12-20 00:00Z' + n * interval '1 hour',"
            " (ARRAY[NULL, '', E'two\\nlines, \"quoted\"', 'Zürich \\ %s'])[1 + n % 4], '\\x00ff'"
            f" FROM generate_series(1, {ROWS}) n",
            "INSERT INTO shop.\"Events %\" SELECT n, now(), 'new' FROM generate_series(1, 50) n",
        )  # fmt: skip
        rule = {"id": "events", "of": "database", "table": "shop.Events %", "column": "at", "keep": "365d",
                "batch": 300, "archive_to": str(self.store)}  # fmt: skip
        components = {"database": {"kind": "postgres", "dsn": server.url(database="shop")}}
        self.system = make_system(folder / "book", components, retention=[rule])
        self.hands = Hands(OpenConnections(self.system))

    def sql(self, *statements: str) -> Any:
        return self.server.sql(*statements, database="shop")

    def rows(self, where: str) -> list[tuple[Any, ...]]:
        return sorted(self.sql(f'SELECT n, at, note, raw FROM shop."Events %" WHERE {where}'), key=lambda row: row[0])

    async def planned(self, **more: Any) -> Change:
        given = {"table": "shop.Events %", "column": "at", "older_than": "365d", "batch": 300, "rule": "events"}
        return await self.hands.only("postgres.purge", of="database", **{**given, **more})

    def archived(self) -> list[tuple[Any, ...]]:
        """What the archive holds, loaded by COPY as an operator would; every object as its manifest says."""
        self.sql("DROP TABLE IF EXISTS shop.back", 'CREATE TABLE shop.back (LIKE shop."Events %")')
        counted = 0
        with psycopg.connect(self.server.url(database="shop")) as connection:
            for path in sorted(self.store.rglob("*.csv.zst")):
                told = json.loads(path.with_name(path.name.replace(".csv.zst", ".json")).read_text())
                counted += told["rows"]
                plain = b"".join(opener("zstd").take(path.read_bytes()))
                copying = "COPY shop.back FROM STDIN (FORMAT csv, HEADER)"
                with connection.cursor() as cursor, cursor.copy(copying) as copy:
                    copy.write(plain)
        found = self.sql("SELECT n, at, note, raw FROM shop.back")
        assert len(found) == counted
        return sorted(found, key=lambda row: row[0])


@pytest.fixture
def shop(server: Postgres, tmp_path: Path) -> Shop:
    return Shop(server, tmp_path)


async def test_rows_lie_in_the_store_as_they_were_before_they_go(shop: Shop) -> None:
    old = shop.rows(AGED)
    change = await shop.planned()
    assert change.kind == "rows-archive"
    assert change.evidence["rows"] == len(old) == ROWS
    assert not list(shop.store.rglob("*.zst")), "a plan writes nothing"
    told = await shop.hands.apply(change)
    assert (told["deleted"], told["objects"], told["left"]) == (ROWS, 4, 0)
    assert shop.rows(AGED) == []
    assert len(shop.rows("true")) == 50
    assert shop.archived() == old


@pytest.mark.parametrize("place", ["written", "proven"])
async def test_killed_between_the_archive_and_the_end_of_a_batch_nothing_is_lost_or_twice(
    shop: Shop, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = shop.rows(AGED)
    change = await shop.planned()
    step = {"written": "pack", "proven": "_kept"}[place]
    inner, calls = getattr(rows_archive, step), 0

    def dying(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        said = inner(*given)
        if calls == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return said

    def work() -> None:
        setattr(rows_archive, step, dying)
        asyncio.run(Hands(OpenConnections(shop.system)).apply(change))

    assert await asyncio.to_thread(dies, work, 10**6)
    await shop.hands.end(change)
    left = shop.rows(AGED)
    assert len(left) == ROWS - 300, "the batch that was under way is not deleted"
    told = await shop.hands.apply(change)
    assert told["deleted"] == len(left)
    assert shop.rows(AGED) == []
    assert shop.archived() == old


async def test_what_cannot_be_archived_is_not_deleted(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    change = await shop.planned()
    shop.store.mkdir()

    def half(store: Any, key: str, file: Any) -> None:
        packer = squeezer("zstd", LEVEL["zstd"])
        store.put(key, packer.take(b"n,at,note,raw\n") + packer.end())

    with monkeypatch.context() as patch:
        patch.setattr(rows_archive, "pack", half)
        with pytest.raises(ChangeFailed, match="is not what was sent: its content has another checksum"):
            await shop.hands.apply(change)
    shop.sql(
        "CREATE FUNCTION shop.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER keeps BEFORE DELETE ON shop.old FOR EACH ROW WHEN (OLD.n = 7) EXECUTE FUNCTION shop.keep()",
    )
    with pytest.raises(ChangeFailed, match="300 rows were written and 299 would be deleted"):
        await shop.hands.apply(change)
    assert len(shop.rows(AGED)) == ROWS
    with pytest.raises(Refused, match="no rule other of a table with a store"):
        await shop.planned(rule="other")
    shop.sql('CREATE TABLE shop.p (id int PRIMARY KEY, at timestamptz)',
             "CREATE TABLE shop.c (id int REFERENCES shop.p ON DELETE CASCADE)")  # fmt: skip
    with pytest.raises(Refused, match=r"those of shop\.c would go"):
        await shop.planned(table="shop.p")


def test_the_book_makes_a_procedure_of_it(shop: Shop) -> None:
    texts = packaged_procedures(shop.system)
    assert "rule: events" in texts["retention-events"]
    assert "risk: destructive" in texts["retention-events"]
    assert not list(inactive_keys(shop.system.book.located.data))
