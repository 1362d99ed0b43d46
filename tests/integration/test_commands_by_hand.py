"""`opsbook plan --as-commands`: the printed commands, run by a shell without opsbook, do what the procedure would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from tests.integration.conftest import Renec
from tests.integration.renec import rows
from tests.integration.renec_book import Book
from tests.integration.servers import until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("renec-book"), pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def book(ops: Path, renec: Renec) -> Book:
    return Book(ops, renec)


def test_the_emergency_maintenance_can_be_done_by_its_commands(book: Book, renec: Renec) -> None:
    told = book.opsbook("plan", "emergency-database-maintenance", "older_than=1s", "--as-commands")
    assert told.returncode == 0, told.stderr
    look = "SELECT pg_relation_filenode('spider_logs'), max(last_vacuum) FROM pg_stat_user_tables"
    (before,) = rows(renec.env["DATABASE_SUPERUSER_URL"], look)
    cache = Redis.from_url(renec.env["REDIS_URL"])
    cache.set("stale", "1")
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    with psycopg.connect(renec.env["DATABASE_SUPERUSER_URL"]) as hanging:
        hanging.execute("SELECT 1")
        until(lambda: _idle_for(renec, hanging.info.backend_pid) > 1.2, what="the session to be old enough")
        done = subprocess.run(
            ["bash"], input=told.stdout, capture_output=True, text=True, timeout=200, check=False, cwd="/",
            env={"PATH": path, "HOME": os.environ.get("HOME", "/")},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        with pytest.raises(psycopg.OperationalError):
            hanging.execute("SELECT 1")
    assert not cache.exists("stale")
    status = renec.supervisorctl("status")
    assert all(status.count(f"{name}_0") for name in ("api:api", "ui:ui", "celery-worker:celery-worker"))
    until(lambda: book.checks("api-up", "api-replicas", "workers", "beat") == dict.fromkeys(
        ("api-up", "api-replicas", "workers", "beat"), "ok"), 60, "the system to be well again")  # fmt: skip
    (after,) = rows(renec.env["DATABASE_SUPERUSER_URL"], look)
    assert after[0] != before[0] and after[1] is not None and (before[1] is None or after[1] > before[1])


def _idle_for(renec: Renec, pid: int) -> float:
    query = "SELECT extract(epoch FROM clock_timestamp() - state_change)::float FROM pg_stat_activity WHERE pid = %s"
    with psycopg.connect(renec.env["DATABASE_SUPERUSER_URL"]) as look:
        row = look.execute(query, [pid]).fetchone()
    return float(row[0]) if row else 0.0
