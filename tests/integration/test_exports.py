"""Exports and retention of a book: bundles that are whole, old files that go, and the procedures of both."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsbook.catalogue import catalogue
from opsbook.connectors.change import ChangeFailed
from opsbook.engine.compile import load_procedures
from opsbook.errors import Refused
from opsbook.recovery.packaged import packaged_procedures
from tests.integration.restoring import Shop, prepared
from tests.integration.servers import new_postgres, own_folder

pytestmark = pytest.mark.real

QUERIES = {
    "orders": "SELECT id, total, at, note FROM orders WHERE id <= 5000 ORDER BY id",
    "hostile": "SELECT '=1+1' AS text, 'a,\"b\"\n' AS quoted, ARRAY[1, 2] AS list, NULL AS nothing, 1.5::dec AS half",
}


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with new_postgres() as server, own_folder("exports") as folder:
        made = prepared(server, folder)
        (folder / "logs").mkdir()
        made.keys = {
            "components": {"logs": {"kind": "files", "path": str(folder / "logs")}},
            "exports": [{"id": "daily", "of": "database", "queries": QUERIES, "formats": ["json", "csv", "xlsx"],
                         "to": str(folder / "out"), "keep": 2}],
            "retention": [
                {"of": "database", "table": "orders", "column": "at", "keep": "90d"},
                {"id": "logs", "of": "logs", "path": str(folder / "logs" / "*.log.*"), "keep": "7d"},
                {"id": "some", "of": "database", "table": "orders", "column": "at", "keep": "1d", "where": "total > 1"},
            ],
        }  # fmt: skip
        yield made


def bundles(shop: Shop) -> list[Path]:
    return sorted((shop.folder / "out").rglob("*.zip"))


async def test_a_bundle_holds_every_query_in_every_format_of_one_moment(shop: Shop) -> None:
    told = await shop.do("export.bundle", export="daily")
    assert told["rows"] == {"orders": 5000, "hostile": 1}
    with zipfile.ZipFile(bundles(shop)[-1]) as archive:
        names = set(archive.namelist())
        assert names == {"manifest.json", *(f"{one}.{form}" for one in QUERIES for form in ("json", "csv", "xlsx"))}
        manifest = json.loads(archive.read("manifest.json"))
        for name, said in manifest["files"].items():
            assert hashlib.sha256(archive.read(name)).hexdigest() == said["sha256"], name
        orders = json.loads(archive.read("orders.json"))
        rows = list(csv.reader(io.StringIO(archive.read("orders.csv").decode(), newline="")))
        (odd,) = json.loads(archive.read("hostile.json"))
        (_, cells) = csv.reader(io.StringIO(archive.read("hostile.csv").decode(), newline=""))
        from openpyxl import load_workbook

        sheet = load_workbook(io.BytesIO(archive.read("hostile.xlsx")), read_only=True)["data"]
        (_, excel) = sheet.iter_rows(values_only=True)
    assert (len(orders), len(rows)) == (5000, 5001)
    assert [one["id"] for one in orders] == [int(row[0]) for row in rows[1:]] == list(range(1, 5001))
    assert odd == {"text": "=1+1", "quoted": 'a,"b"\n', "list": [1, 2], "nothing": None, "half": 1.5}
    assert cells[0] == excel[0] == "'=1+1", "no spreadsheet runs it"
    assert cells[1] == 'a,"b"\n'


async def test_only_so_many_bundles_stay_as_the_book_says(shop: Shop) -> None:
    for _ in range(3):
        told = await shop.do("export.bundle", export="daily")
    assert len(bundles(shop)) == 2
    assert told["removed"]
    assert told["bundle"].endswith(bundles(shop)[-1].name)


async def test_a_query_that_fails_is_named_and_leaves_no_bundle(shop: Shop) -> None:
    before, good = bundles(shop), shop.keys["exports"][0]["queries"]
    shop.keys["exports"][0]["queries"] = {**good, "gone": "SELECT * FROM nowhere"}
    try:
        with pytest.raises(ChangeFailed, match='the query gone: relation "nowhere" does not exist'):
            await shop.do("export.bundle", export="daily")
    finally:
        shop.keys["exports"][0]["queries"] = good
    assert bundles(shop) == before


async def test_old_files_go_and_folders_links_and_others_stay(shop: Shop) -> None:
    logs, old = shop.folder / "logs", time.time() - 8 * 86_400
    (logs / "below").mkdir()
    (shop.folder / "precious").write_text("x")
    for name in ("api.log.1", "below/api.log.2", "api.log", "new.log.1"):
        (logs / name).write_text("line\n")
    (logs / "link.log.1").symlink_to(shop.folder / "precious")
    for path in (logs / "api.log.1", logs / "below" / "api.log.2", logs / "api.log", shop.folder / "precious"):
        os.utime(path, (old, old))
    with pytest.raises(Refused, match="2 files are that old, more than the 1 allowed"):
        await shop.do("files.purge", of="logs", pattern="*.log.*", older_than="7d", most=1)
    told = await shop.do("files.purge", of="logs", pattern="*.log.*", older_than="7d")
    assert told == {"files": 2, "bytes": 10}
    assert {one.name for one in logs.iterdir()} == {"below", "api.log", "new.log.1", "link.log.1"}
    assert (shop.folder / "precious").exists()


def test_the_book_gets_a_procedure_of_each_rule_that_can_be_kept(shop: Shop) -> None:
    system = shop.system
    texts = packaged_procedures(system)
    found = load_procedures(system, catalogue(), texts)
    assert {name for name in texts if name.startswith(("retention", "export"))} == {
        "export-daily", "retention-orders", "retention-logs",
    }  # fmt: skip
    assert found["retention-orders"].risk.value == "destructive"
    assert "older_than: 90d" in texts["retention-orders"]
    assert 'pattern: "*.log.*"' in texts["retention-logs"]
