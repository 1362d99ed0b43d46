"""What a run survives and what it needs, shown on the example: a kill, a second person, moved facts, the record."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.engine import acts
from opsbook.engine.access import Actor
from opsbook.engine.setting import open_setting
from opsbook.engine.views import view_of
from tests.integration.conftest import Renec
from tests.integration.renec import api, rows
from tests.integration.renec_book import OPSBOOK, Book, state_of
from tests.integration.servers import until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("renec"), pytest.mark.timeout(240)]
STRICT = ("--env", "rehearsal-strict")


@pytest.fixture(scope="module")
def book(ops: Path, renec: Renec) -> Book:
    return Book(ops, renec)


def approve(book: Book, run: str, name: str = "bob") -> None:
    """Say yes to what waits, as somebody else than who asked."""
    system = in_environment(load_book(book.ops / "book.yaml", catalogue()), "rehearsal-strict")
    setting = open_setting(system)
    try:
        view = view_of(setting.store, run)
        acts.approve(setting, system, view, Actor(name, "a test"), acts.what_waits(view)[1])
    finally:
        setting.close()


def follow(book: Book, run: str) -> dict[str, Any]:
    return book.told(book.opsbook("runs", "follow", run, "--format", "json"))


def test_a_run_that_is_killed_in_the_middle_is_gone_on_with(book: Book, renec: Renec) -> None:
    banner = renec.run_dir / "etc" / "nginx" / "maintenance.conf"
    node = "SELECT pg_relation_filenode('spider_logs')"
    before = rows(renec.env["DATABASE_SUPERUSER_URL"], node)
    command = [str(OPSBOOK), "run", "emergency-database-maintenance", "--yes", "--book", str(book.ops)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: banner.read_text() != "" and " RUNNING " not in renec.supervisorctl("status", "celery-beat"), 60)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    again = book.opsbook("run", "emergency-database-maintenance", "--yes", "--format", "json")
    assert "goes on with it" in again.stderr
    view = book.told(again)
    assert view["state"] == "done", view["message"]
    assert state_of(view, "enter") == "done" and banner.read_text() == ""
    listed = book.opsbook("runs", "--procedure", "emergency-database-maintenance", "--format", "json")
    assert listed.stdout.count('"id"') == 1, "it was begun a second time"
    assert rows(renec.env["DATABASE_SUPERUSER_URL"], node) != before
    assert api(renec).get("/ready").status_code == 200


def test_a_second_person_is_waited_for_and_a_plan_that_moved_needs_a_new_yes(book: Book, renec: Renec) -> None:
    server = Redis.from_url(renec.env["BROKER_URL"], decode_responses=True)
    before = server.config_get("maxmemory", "timeout", "tcp-keepalive")
    try:
        asked = book.opsbook("run", "tune-redis", "idle_timeout=240", "--yes", "--format", "json", *STRICT)
        view = book.told(asked)
        assert (asked.returncode, view["state"]) == (4, "waits for approval"), asked.stderr
        assert "another person" in view["message"] and server.config_get("timeout") != {"timeout": "240"}
        own = book.opsbook("approve", view["id"], "--yes")
        assert own.returncode == 4 and "cannot approve" in own.stderr
        approve(book, view["id"])
        server.config_set("maxmemory", 70 * 2**20)  # what undo would put back is not what was approved
        view = follow(book, view["id"])
        assert view["state"] == "waits for approval" and "plan changed" in view["message"]
        assert str(70 * 2**20) in view["message"], "the difference is shown"
        assert server.config_get("maxmemory") == {"maxmemory": str(70 * 2**20)}
        approve(book, view["id"], "carol")
        view = follow(book, view["id"])
        assert view["state"] == "done", view["message"]
        assert server.config_get("timeout") == {"timeout": "240"}
        assert [one["approver"] for one in view["approvals"]] == ["bob", "carol"]
    finally:
        for name, value in before.items():
            server.config_set(name, value)


def test_the_record_of_it_is_whole_until_a_byte_of_it_is_changed(book: Book) -> None:
    book.done("clear-cache", "component=cache")
    fine = book.opsbook("audit", "verify")
    assert fine.returncode == 0, fine.stdout + fine.stderr
    (store,) = (book.ops / ".opsbook").glob("store.db")
    with sqlite3.connect(store) as connection:
        (seq,) = connection.execute("SELECT max(seq) - 3 FROM audit").fetchone()
        (actor,) = connection.execute("SELECT actor FROM audit WHERE seq = ?", (seq,)).fetchone()
        connection.execute("UPDATE audit SET actor = 'somebody' WHERE seq = ?", (seq,))
    try:
        broken = book.opsbook("audit", "verify")
        assert broken.returncode == 1 and f"record {seq}" in broken.stdout
    finally:
        with sqlite3.connect(store) as connection:
            connection.execute("UPDATE audit SET actor = ? WHERE seq = ?", (actor, seq))
    assert book.opsbook("audit", "verify").returncode == 0
