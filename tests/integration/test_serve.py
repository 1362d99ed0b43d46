"""The serving process as it is: it tells once, survives what kills it, and is one of several."""

from __future__ import annotations

import random
import sqlite3
import time
from collections import Counter
from pathlib import Path

import pytest

from opsbook.watch.leadership import LEASE
from tests.integration.servers import new_postgres, until
from tests.integration.serving import PATIENCE, Serving, a_web, asked, opsbook, write_book

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

FIRING = "SELECT count(*) FROM alerts WHERE phase = 'firing'"
OPENED = "SELECT count(*) FROM incidents"


def test_it_watches_tells_once_works_beside_other_verbs_and_ends_when_told(tmp_path: Path) -> None:
    with a_web() as web:
        book = write_book(
            tmp_path / "book", web, dead_man={"ping": f"{web.url}/ping", "every": "1s"},
            jobs=[{"id": "import", "schedule": "0 * * * *", "grace": "0s"}],
            backups=[{"id": "store", "of": "site", "method": "store", "to": "backups", "schedule": "0 * * * *"}],
        )  # fmt: skip
        store = book / ".opsbook" / "store.db"
        assert opsbook(book, "check").returncode == 0
        # As if it had been watched until yesterday.
        note = "INSERT INTO due (system, environment, key, at, state) VALUES ('small', 'production', ?, ?, 'known')"
        with sqlite3.connect(store) as file:
            file.executemany(note, [(key, time.time() - 86_400) for key in ("backup/store", "job/import")])
        serving = Serving(book).watching()
        try:
            until(lambda: asked(store, "SELECT count(*) FROM check_results")[0][0] >= 2, PATIENCE)
            until(lambda: web.pings >= 2, PATIENCE, "beats arrive")

            second = opsbook(book, "serve", "--no-http")
            assert second.returncode == 4
            assert f"pid {serving.process.pid}" in second.stderr

            done = opsbook(book, "run", "look", "--yes")
            assert done.returncode == 0, done.stderr
            assert "another process executes" in done.stderr
            assert opsbook(book, "check").returncode == 0

            # What is still bad of the same component would take the fault of the site into its incident.
            going = "SELECT id FROM incidents WHERE component = 'site' AND state != 'resolved'"
            until(lambda: not asked(store, going), PATIENCE, "the backup is well")
            web.up = False
            until(lambda: any("http.up" in body["subject"] for body in web.bodies), PATIENCE, "a page")
            assert opsbook(book, "check").returncode == 1
            web.up = True
            until(
                lambda: asked(store, "SELECT state FROM incidents WHERE title = 'site: http.up'") == [("resolved",)],
                PATIENCE,
                "it is resolved",
            )
            assert asked(store, FIRING + " AND check_id = 'site-up'") == [(0,)]
            assert asked(store, OPENED + " WHERE title = 'site: http.up'") == [(1,)]

            begun = "SELECT count(*) FROM due WHERE key = 'backup/store' AND state = 'done'"
            until(lambda: asked(store, begun)[0][0] >= 1, PATIENCE, "a scheduled backup")
            late = "SELECT count(*) FROM alerts WHERE fingerprint = 'beat:import'"
            until(lambda: asked(store, late)[0][0] == 1, PATIENCE, "the job is late")
            requested = "SELECT DISTINCT requester FROM runs WHERE procedure = 'backup-store'"
            assert asked(store, requested) == [("opsbook",)]
            missed = "SELECT count(*) FROM due WHERE key = 'backup/store' AND state = 'missed'"
            assert asked(store, missed)[0][0] >= 22
            assert serving.end() == 0
        finally:
            serving.kill()
        assert "Traceback" not in serving.said()


def test_killed_at_any_point_no_alert_is_lost_and_none_is_doubled(tmp_path: Path) -> None:
    luck = random.Random(7)
    kills = 5
    with a_web() as web:
        book = write_book(tmp_path / "book", web)
        store = book / ".opsbook" / "store.db"
        serving = Serving(book).watching()
        until(lambda: asked(store, "SELECT count(*) FROM check_results")[0][0] >= 1, PATIENCE)
        try:
            web.up = False
            for _ in range(kills):
                time.sleep(luck.uniform(0.0, 1.6))
                serving.kill()
                serving = Serving(book)
            serving.watching()
            until(lambda: web.bodies, PATIENCE, "a page")
            until(lambda: asked(store, FIRING) == [(1,)], PATIENCE)
            waiting = "SELECT count(*) FROM messages WHERE state IN ('waiting', 'sending')"
            until(lambda: asked(store, waiting) == [(0,)], PATIENCE, "the outbox is empty")
            assert asked(store, OPENED) == [(1,)]
            assert asked(store, "SELECT count(*) FROM messages WHERE kind = 'page'")[0][0] <= 1
            assert 1 <= len(web.bodies) <= 1 + kills
            web.up = True
            until(lambda: asked(store, FIRING) == [(0,)], PATIENCE)
        finally:
            serving.kill()
        slots = Counter(round(at) for (at,) in asked(store, "SELECT at FROM check_results"))
        assert max(slots.values()) <= 1 + kills


def test_of_two_on_one_postgresql_one_watches_and_the_other_takes_over(tmp_path: Path) -> None:
    with a_web() as web, new_postgres() as server:
        server.sql("CREATE DATABASE opsbook", database="postgres")
        address = server.url(database="opsbook")
        book = write_book(tmp_path / "book", web)
        both = [Serving(book, OPSBOOK_STORE=address).watching() for _ in range(2)]
        try:
            until(lambda: asked(address, "SELECT count(*) FROM check_results")[0][0] >= 4, PATIENCE)
            ((holder,),) = asked(address, "SELECT holder FROM leases WHERE name LIKE 'watch/%'")
            leader, other = sorted(both, key=lambda one: f"pid {one.process.pid}" not in holder)
            assert f"pid {leader.process.pid}" in holder
            web.up = False
            until(lambda: asked(address, FIRING) == [(1,)], PATIENCE)
            until(lambda: web.bodies, PATIENCE, "a page")
            leader.kill()
            ((before,),) = asked(address, "SELECT max(at) FROM check_results")
            until(
                lambda: asked(address, "SELECT max(at) FROM check_results")[0][0] > before + 2,
                PATIENCE,
                "it takes over",
            )
            assert asked(address, FIRING) == [(1,)]
            assert asked(address, OPENED) == [(1,)]
            times = sorted(at for (at,) in asked(address, "SELECT at FROM check_results"))
            # Not by the second: on a busy machine a result may come in the next one.
            assert len(times) <= times[-1] - times[0] + 2, "checks ran more often than once a second"
            web.up = True
            server.stop("immediate")
            time.sleep(1)
            server.start()
            until(lambda: asked(address, FIRING) == [(0,)], PATIENCE, "it goes on with the store")
            assert other.end() == 0
            assert asked(address, "SELECT count(*) FROM leases WHERE name LIKE 'watch/%'") == [(0,)]
        finally:
            for one in both:
                one.kill()
        assert "Traceback" not in both[0].said() + both[1].said()


def test_a_store_that_is_gone_for_longer_than_a_lease_is_told_once_and_nothing_is_lost(tmp_path: Path) -> None:
    """What turned bad meanwhile pages when it is back, once."""
    with a_web() as web, new_postgres() as server:
        server.sql("CREATE DATABASE opsbook", database="postgres")
        address = server.url(database="opsbook")
        book = write_book(tmp_path / "book", web)
        serving = Serving(book, OPSBOOK_STORE=address).watching()
        try:
            until(lambda: asked(address, "SELECT count(*) FROM check_results")[0][0] >= 2, PATIENCE)
            server.stop("immediate")
            gone = time.monotonic()
            web.up = False
            until(lambda: "nothing is decided or told" in serving.said(), PATIENCE, "it says that the store is gone")
            until(lambda: time.monotonic() - gone > LEASE + 5, PATIENCE)
            assert serving.process.poll() is None and not web.bodies
            server.start()
            until(lambda: web.bodies, PATIENCE, "the page of what turned bad meanwhile")
            until(lambda: "the store can be used again" in serving.said(), PATIENCE)
            until(lambda: asked(address, FIRING) == [(1,)], PATIENCE)
            web.up = True
            until(lambda: asked(address, FIRING) == [(0,)], PATIENCE)
            assert asked(address, OPENED) == [(1,)]
            assert sum("http.up" in body["subject"] for body in web.bodies if "critical" in str(body)) <= 1
            assert serving.end() == 0, serving.said()
        finally:
            serving.kill()
        said = serving.said()
        assert said.count("nothing is decided or told") == said.count("the store can be used again") == 1, said
        assert "Traceback" not in said, said
