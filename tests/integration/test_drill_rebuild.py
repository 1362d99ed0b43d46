"""Drills that make a fresh system: restored into, asked, measured, and removed whatever becomes of them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from opsbook.connectors.change import Change, ChangeFailed
from opsbook.errors import Refused
from tests.integration.restoring import Shop, prepared
from tests.integration.servers import BIN, new_postgres, own_folder, until

pytestmark = pytest.mark.real

COMMAND = """
import os, pathlib, subprocess, sys, time
what, url, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
with (folder / "log").open("a") as log:
    log.write(what + "\\n")
def sql(text):
    subprocess.run([os.environ["PSQL"], "-Xq", "-d", url, "-c", text], check=True)
if what == "make":
    sql("CREATE DATABASE fresh")
    (folder / "made").touch()
    while (folder / "slow").exists():
        time.sleep(0.05)
    if (folder / "broken").exists():
        sys.exit("there is no room for another one")
else:
    sql("DROP DATABASE IF EXISTS fresh WITH (FORCE)")
    (folder / "made").unlink(missing_ok=True)
"""


class Page(BaseHTTPRequestHandler):
    """What the fresh system serves."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/well" else 404)
        self.end_headers()
        self.wfile.write(b"it serves")

    def log_message(self, *_: object) -> None:
        """It has nothing to say."""


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    pages = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    Thread(target=pages.serve_forever, daemon=True).start()
    with new_postgres() as server, own_folder("rebuild") as folder:
        folder.chmod(0o755)
        made = prepared(server, folder)
        (folder / "command.py").write_text(COMMAND)
        words = [server.url(database="postgres"), str(folder)]
        command = [sys.executable, str(folder / "command.py")]
        made.keys = {
            "environments": {
                "test": {"policy": "open"},
                "fresh": {"policy": "open", "disposable": True,
                          "components": {"database": {"dsn": server.url(database="fresh"),
                                                      "admin": server.url(database="fresh")}}},
            },
            "default_environment": "test",
            "components": {"api": {"kind": "http", "url": f"http://127.0.0.1:{pages.server_port}",
                                   "depends_on": ["database"]}},
            "smoke_tests": [{"id": "serves", "of": "api", "path": "/well", "contains": "it serves"}],
            "objectives": {"system": {"rto": "2h", "rpo": "1h"}},
            "drills": [{"id": "system", "of": ["system"], "kind": "rebuild", "environment": "fresh",
                        "make": [*command, "make", *words], "remove": [*command, "remove", *words],
                        "variables": {"PSQL": str(BIN / "psql")}}],
        }  # fmt: skip
        asyncio.run(made.do("backup.take", backup="nightly"))
        yield made
    pages.shutdown()


def log(shop: Shop) -> list[str]:
    """The commands that ran since the last look."""
    file = shop.folder / "log"
    words = file.read_text().split() if file.exists() else []
    file.unlink(missing_ok=True)
    return words


async def planned(shop: Shop, **more: str) -> Change:
    (change,) = await shop.plan("drill.rebuild", drill="system", backup="nightly", **more)
    return change


def removed(shop: Shop) -> bool:
    return "fresh" not in shop.databases() and not (shop.folder / "made").exists()


async def test_it_restores_into_a_fresh_system_asks_measures_and_removes_it(shop: Shop) -> None:
    log(shop)
    told = await shop.apply(await planned(shop))
    assert (told["good"], told["problems"]) == (True, [])
    assert {"fresh system", "stopped", "data", "verified", "started", "assertions", "smoke"} <= set(told["phases"])
    assert 0 < told["restored_seconds"] <= told["rto_seconds"]
    assert list(told["smoke_tests"]) == ["serves"]
    assert [one["holds"] for one in told["asserted"]] == [True, True]
    assert log(shop) == ["remove", "make", "remove"]
    assert removed(shop)
    proof = shop.newest().verified()
    assert proof is not None
    assert proof.kind == "drill"
    assert not list((shop.store / "test" / "nightly").rglob("hold-*"))


async def test_what_does_not_answer_as_it_should_fails_the_drill_by_name(shop: Shop) -> None:
    good = shop.keys["smoke_tests"]
    shop.keys["smoke_tests"] = [*good, {"id": "login", "of": "api", "path": "/login", "within": "2s"}]
    try:
        told = await shop.apply(await planned(shop))
    finally:
        shop.keys["smoke_tests"] = good
    assert told["good"] is False
    assert told["problems"] == ["smoke test login: GET /login of api answers 404 Not Found, not 200"]
    assert removed(shop)


async def test_a_system_that_cannot_be_made_is_told_in_its_own_words_and_removed(shop: Shop) -> None:
    log(shop)
    (shop.folder / "broken").touch()
    try:
        with pytest.raises(ChangeFailed, match="there is no room for another one"):
            await shop.apply(await planned(shop))
    finally:
        (shop.folder / "broken").unlink()
    assert log(shop) == ["remove", "make", "remove"]
    assert removed(shop)


async def test_one_that_is_stopped_is_removed_too(shop: Shop) -> None:
    (shop.folder / "slow").touch()
    try:
        under_way = asyncio.ensure_future(shop.apply(await planned(shop)))
        while not (shop.folder / "made").exists():  # noqa: ASYNC110  a file tells
            await asyncio.sleep(0.05)
        under_way.cancel()
        with pytest.raises(asyncio.CancelledError):
            await under_way
    finally:
        (shop.folder / "slow").unlink()
    assert removed(shop)


async def test_only_a_disposable_environment_is_made_and_removed(shop: Shop) -> None:
    fresh = shop.keys["environments"]["fresh"]
    fresh["disposable"] = False
    try:
        with pytest.raises(Refused, match="not an environment that a drill may make"):
            await planned(shop)
    finally:
        fresh["disposable"] = True


def test_what_a_killed_one_has_left_is_removed_when_its_run_goes_on(shop: Shop) -> None:
    opsbook = [str(Path(sys.executable).with_name("opsbook"))]
    book = ["--book", str(shop.system.book.path)]
    (shop.folder / "slow").touch()
    log(shop)
    child = subprocess.Popen([*opsbook, "drill", "system", "--yes", *book], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)  # fmt: skip
    try:
        until(lambda: (shop.folder / "made").exists(), 80, "the fresh system is being made")
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    finally:
        (shop.folder / "slow").unlink()
    assert not removed(shop), "nobody was there to remove it"
    done = subprocess.run([*opsbook, "drill", "system", "--yes", *book], capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "made anew, restored and serving in 00:00:" in done.stdout
    assert removed(shop)
    assert set(log(shop)[1:3]) == {"make", "remove"}
