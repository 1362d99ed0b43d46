"""Drills on a real server: restored where nothing can be lost, verified, asked, measured, and nothing is left."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsbook.connectors.backups.scratch import PREFIX, sweep
from opsbook.connectors.change import ChangeFailed
from opsbook.engine.setting import open_setting
from opsbook.recovery import drills as drilling
from opsbook.store import drills
from tests.integration.renec_book import OPSBOOK
from tests.integration.restoring import ASSERTIONS, Shop, in_small_parts, prepared
from tests.integration.servers import gone, new_postgres, own_folder, until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with new_postgres() as server, own_folder("drill") as folder, pytest.MonkeyPatch.context() as patch:
        in_small_parts(patch)
        made = prepared(server, folder)
        made.folder.chmod(0o755)
        asyncio.run(made.do("backup.take", backup="nightly"))
        yield made


def left(shop: Shop) -> list[Path]:
    """Scratch servers of the store's folder."""
    return list((shop.store / "test").glob(f"{PREFIX}*"))


async def test_a_drill_measures_proves_and_removes_its_server(shop: Shop) -> None:
    shop.rows("INSERT INTO orders (customer, total) VALUES (1, 1), (2, 2)")
    told = await shop.do("drill.restore", backup="nightly")
    assert (told["good"], told["problems"], told["lost_rows"]) == (True, [], 2)
    assert told["lost"] == {"public.orders": 2}
    assert 0 < told["restored_seconds"] <= told["verified_seconds"] <= told["rto_seconds"]
    assert {"scratch server", "schema", "data", "indexes and constraints", "verified", "smoke"} <= set(told["phases"])
    assert [one["holds"] for one in told["asserted"]] == [True, True]
    assert left(shop) == []
    proof = shop.newest().verified()
    assert proof is not None
    assert (proof.kind, proof.good, proof.tables) == ("drill", True, told["tables"])


async def test_what_the_book_asserts_fails_the_drill_by_name(shop: Shop) -> None:
    wrong = [
        {"id": "many", "of": "database", "title": "There are many", "sql": "SELECT count(*) FROM orders",
         "expect": "value > 99999"},
        {"id": "broken", "of": "database", "sql": "SELECT * FROM nowhere"},
    ]  # fmt: skip
    shop.keys["assertions"] = [*ASSERTIONS, *wrong]
    try:
        told = await shop.do("drill.restore", backup="nightly")
    finally:
        shop.keys.clear()
    assert told["good"] is False
    assert told["problems"][0].startswith("There are many: `value > 99999` does not hold: value is 12")
    assert told["problems"][1].startswith('broken: relation "nowhere" does not exist')
    assert shop.newest().verified() is None, "the newest proof is of what failed"


async def test_damage_is_told_by_the_drill_and_not_believed(shop: Shop) -> None:
    target = next(path for path in shop.objects() if "data-" in path.name)
    whole = target.read_bytes()
    (change,) = await shop.plan("drill.restore", backup="nightly")
    try:
        target.write_bytes(whole[:50] + bytes([whole[50] ^ 8]) + whole[51:])
        told = await shop.apply(change)
    finally:
        target.write_bytes(whole)
    assert told["good"] is False
    assert target.name in told["problems"][0]
    assert told["rto_seconds"] is None
    assert left(shop) == []


def test_a_drill_that_was_killed_is_removed_by_the_next(shop: Shop) -> None:
    code = (
        "import os, sys, time; from pathlib import Path\n"
        "from opsbook.connectors.backups.scratch import scratch_server\n"
        "with scratch_server(150000, 1 << 20, [Path(sys.argv[1])]) as one:\n"
        "    print(one.folder, flush=True); time.sleep(600)\n"
    )
    parent = shop.store / "test"
    child = subprocess.Popen([sys.executable, "-c", code, str(parent)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    folder = Path(child.stdout.readline().strip())
    server = int((folder / "data" / "postmaster.pid").read_text().split()[0])
    assert sweep(parent) == [], "its process lives"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not gone(server), "the server outlives who made it"
    assert sweep(parent) == [folder]
    until(lambda: gone(server), what="the server has ended")
    assert not folder.exists()


async def test_without_room_it_says_how_much_is_missing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10 << 20))
    with pytest.raises(ChangeFailed, match=r"a restore needs .* GB free"):
        await shop.do("drill.restore", backup="nightly")


def opsbook(shop: Shop, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [str(OPSBOOK), *words, "--book", str(shop.system.book.path)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False)


def test_the_verb_prints_what_was_measured_beside_the_promise(shop: Shop) -> None:
    before = opsbook(shop, "objectives")
    assert (before.returncode, "unproven" in before.stdout) == (1, True), before.stdout + before.stderr
    done = opsbook(shop, "drill", "database", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("restored and verified in 00:00:"), done.stdout
    assert "; promise 02:00:00; you would lose " in last
    assert last.endswith("; promise 1 h")
    found = json.loads(opsbook(shop, "objectives", "--format", "json").stdout)
    assert [one["standing"] for one in found] == ["proven"]
    assert found[0]["recoverable"]["from"].startswith("nightly/")

    shop.keys["objectives"] = {"database": {"rto": "1ms", "rpo": "1h"}}
    try:
        missed = opsbook(shop, "drill", "nightly", "--yes", "--format", "json")
        assert missed.returncode == 1, missed.stderr
        assert json.loads(missed.stdout)[0]["kept"] is False
        table = opsbook(shop, "objectives")
        assert (table.returncode, "missed" in table.stdout) == (1, True)
        system = shop.system
    finally:
        shop.keys.clear()
    setting = open_setting(system)
    try:
        assert len(drills.measured(setting.store, "test", "database")) == 2
        drilling.collect(setting, system)
        assert len(drills.measured(setting.store, "test", "database")) == 2, "noted once"
    finally:
        setting.close()
    unknown = opsbook(shop, "drill", "databse", "--yes")
    assert (unknown.returncode, "database" in unknown.stderr) == (2, True)
