"""The runbooks of the example's two manuals, each run on the example; what it did is seen by other means."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from redis import Redis

from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.engine.service import Service
from opsbook.engine.setting import open_setting
from tests.integration.conftest import Renec
from tests.integration.renec import api, pid_of, rows
from tests.integration.renec_book import Book, state_of
from tests.integration.servers import until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("renec-runbooks"), pytest.mark.timeout(240)]

NEEDED = {"deploy-version": {"version": "1.0.0"}, "rollback-version": {"version": "1.0.0"}}
"""Parameters that have no default."""
ALL = {
    "api-outage", "clear-cache", "daily-maintenance", "data-export", "data-quality", "database-issues",
    "deploy-version", "emergency-database-maintenance", "full-harvest", "harvest-failures", "high-api-latency",
    "monthly-maintenance", "retention", "rollback-version", "scale-application", "trigger-daily-probe",
    "tune-postgres", "tune-redis", "weekly-maintenance",
}  # fmt: skip


@pytest.fixture(scope="module")
def book(ops: Path, renec: Renec) -> Book:
    return Book(ops, renec)


def superuser(renec: Renec, query: str) -> list[tuple[Any, ...]]:
    return rows(renec.env["DATABASE_SUPERUSER_URL"], query)


def value(renec: Renec, query: str) -> Any:
    return superuser(renec, query)[0][0]


def running(renec: Renec, workload: str) -> int:
    """How many processes of a workload supervisor says are running."""
    lines = renec.supervisorctl("status").splitlines()
    return sum(line.startswith((f"{workload}:", f"{workload} ")) and " RUNNING " in line for line in lines)


def redis(renec: Renec, name: str) -> Redis:
    return Redis.from_url(renec.env[name], decode_responses=True)


@contextmanager
def session(renec: Renec, name: str, *, autocommit: bool = False) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's session of this application_name; a runbook may end it before the block does."""
    connection = psycopg.connect(renec.env["DATABASE_SUPERUSER_URL"], application_name=name, autocommit=autocommit)
    try:
        yield connection
    finally:
        connection.close()


def snapshot(renec: Renec) -> dict[str, Any]:
    """What a plan must leave as it is: processes, settings, rows, keys, files."""
    run_dir = renec.run_dir
    files = [run_dir / "app.env", run_dir / "etc" / "nginx" / "maintenance.conf", run_dir / "etc" / "redis.conf"]
    return {
        "processes": sorted(" ".join(line.split()[:4]) for line in renec.supervisorctl("status").splitlines()),
        "settings": superuser(renec, "SELECT name, setting FROM pg_file_settings ORDER BY 1, 2"),
        "vacuumed": superuser(renec, "SELECT relname, vacuum_count, analyze_count FROM pg_stat_user_tables ORDER BY 1"),
        "old rows": value(renec, "SELECT count(*) FROM spider_logs WHERE created_at < now() - interval '1 year'"),
        "harvests": value(renec, "SELECT count(*) FROM harvest_runs"),
        "marker": redis(renec, "REDIS_URL").get("marker"),
        "redis": {k: v for k, v in redis(renec, "REDIS_URL").config_get("*").items() if k in ("maxmemory", "timeout")},
        "files": {str(path): path.read_text() for path in files},
        "current": os.readlink(run_dir / "current"),
        "backups": sorted(str(path) for path in (run_dir / "backups").rglob("*")),
    }


def test_every_runbook_is_planned_by_the_reading_roles_alone_and_changes_nothing(
    book: Book, renec: Renec, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The roles that may change something cannot be reached: whatever needed them to plan would fail.
    for name in ("DATABASE_SUPERUSER_URL", "DATABASE_ADMIN_URL", "PGBOUNCER_ADMIN_URL"):
        monkeypatch.setenv(name, "postgresql://nobody@127.0.0.1:1/nothing")
    redis(renec, "REDIS_URL").set("marker", "kept")
    before = snapshot(renec)
    system = in_environment(load_book(book.ops / "book.yaml", catalogue()), "rehearsal")
    setting = open_setting(system)
    service = Service(setting, system)
    try:
        procedures = service.procedures()
        assert set(procedures) == ALL
        for name, one in procedures.items():
            plan = asyncio.run(service.plan(one, values=NEEDED.get(name, {})))
            shown = [step for step in plan.steps if step.changes or step.deferred or step.skipped]
            assert plan.digest and shown, f"{name} shows nothing"
    finally:
        setting.close()
    assert snapshot(renec) == before


def test_what_a_check_refers_to_is_there(book: Book) -> None:
    model = load_book(book.ops / "book.yaml", catalogue()).model
    assert {check.procedure for check in model.checks if check.procedure} <= ALL


def test_the_application_is_scaled_and_brought_back(book: Book, renec: Renec) -> None:
    book.done("scale-application", "api=4", "ui=3", "workers=2")
    assert [running(renec, name) for name in ("api", "ui", "celery-worker")] == [4, 3, 2]
    book.done("scale-application")
    assert [running(renec, name) for name in ("api", "ui", "celery-worker")] == [3, 2, 3]
    refused = book.opsbook("plan", "scale-application", "api=7")
    assert refused.returncode == 2 and "api" in refused.stderr


def test_scaling_that_the_database_cannot_bear_is_undone(book: Book, renec: Renec) -> None:
    with renec.broken("connections-exhausted"):
        until(lambda: book.checks("connections-ratio")["connections-ratio"] == "critical", 30)
        view = book.run("scale-application", "api=4")
    assert view["state"] == "undone" and "connections-ratio" in view["message"]
    assert running(renec, "api") == 3


def test_a_cache_is_cleared_and_the_queue_is_not(book: Book, renec: Renec) -> None:
    cache, broker = redis(renec, "REDIS_URL"), redis(renec, "BROKER_URL")
    cache.set("stale", "answer")
    broker.set("beside-the-queue", "stays")
    book.done("clear-cache")
    assert cache.get("stale") is None
    refused = book.opsbook("run", "clear-cache", "component=broker", "--yes")
    assert refused.returncode == 4
    assert "broker of worker" in refused.stderr and "waiting tasks" in refused.stderr
    assert broker.get("beside-the-queue") == "stays"


def test_latency_that_a_forgotten_lock_causes_is_found_and_mended(book: Book, renec: Renec) -> None:
    with session(renec, "forgotten") as forgotten:
        forgotten.execute("LOCK TABLE ec_standards_v2 IN ACCESS EXCLUSIVE MODE")
        redis(renec, "REDIS_URL").flushdb()
        until(lambda: book.checks("api-latency")["api-latency"] != "ok", 60)
        book.done("high-api-latency", "older_than=1s", "replicas=4")
        assert not value(renec, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'forgotten'")
    assert running(renec, "api") == 4
    assert book.checks("api-up", "api-ready") == {"api-up": "ok", "api-ready": "ok"}
    book.done("scale-application")


def test_sessions_that_hang_are_ended_and_the_rest_is_left_alone(book: Book, renec: Renec) -> None:
    pool = pid_of(renec, "pgbouncer")
    with (
        session(renec, "left-open") as left_open,
        session(renec, "idle-admin", autocommit=True),
        session(renec, "too-long", autocommit=True) as too_long,
    ):
        left_open.execute("SELECT 1")
        too_long.pgconn.send_query(b"SELECT pg_sleep(300)")
        time.sleep(1.2)  # the age is what is tried
        book.done("database-issues", "older_than=1s")
        names = {name for (name,) in superuser(renec, "SELECT application_name FROM pg_stat_activity")}
        assert names & {"left-open", "too-long", "idle-admin"} == {"idle-admin"}
    assert pid_of(renec, "pgbouncer") != pool
    assert value(renec, "SELECT bool_and(last_vacuum > now() - interval '1 minute') FROM pg_stat_user_tables")
    assert value(renec, "SELECT count(*) FROM pg_stat_replication") == 1


def test_what_is_too_old_is_purged_and_archived_and_the_rest_stays(book: Book, renec: Renec) -> None:
    renec.must("exec", "--", "python", "-m", "src.cli", "seed-logs", "--rows", "3000", "--days", "500")
    logs, archive = Path(renec.env["LOG_DIR"]), Path(renec.env["BACKUP_DIR"]) / "logs"
    old, fresh = logs / "api_00.log.3", logs / "api_01.log.1"
    old.write_text("2020-01-01T00:00:00Z INFO api: started\n")
    fresh.write_text("rotated today\n")
    week_ago = time.time() - 9 * 86400
    os.utime(old, (week_ago, week_ago))
    young = "SELECT count(*) FROM api_logs WHERE created_at > now() - interval '80 days' AND release = 'seeded'"
    kept = value(renec, young)
    book.done("retention", "batch=500")
    assert value(renec, "SELECT count(*) FROM spider_logs WHERE created_at < now() - interval '366 days'") == 0
    assert value(renec, "SELECT count(*) FROM api_logs WHERE created_at < now() - interval '91 days'") == 0
    assert value(renec, young) == kept > 0
    (archived,) = archive.glob("api_00.log.3.*.gz")
    assert gzip.decompress(archived.read_bytes()).startswith(b"2020-01-01")
    assert not old.exists() and fresh.exists()


@pytest.fixture
def untuned(renec: Renec) -> Iterator[None]:
    """Puts the settings of both servers back."""
    before = redis(renec, "BROKER_URL").config_get("*")
    yield
    for name in ("maxmemory", "maxmemory-policy", "tcp-keepalive", "timeout"):
        redis(renec, "BROKER_URL").config_set(name, before[name])
    with session(renec, "a-test", autocommit=True) as connection:
        connection.execute("ALTER SYSTEM RESET ALL")
        connection.execute("SELECT pg_reload_conf()")


@pytest.mark.usefixtures("untuned")
def test_postgres_is_tuned_and_where_it_is_not_well_afterwards_all_goes_back(book: Book, renec: Renec) -> None:
    def holds(name: str) -> str:
        return str(value(renec, f"SHOW {name}"))

    before = holds("work_mem")
    refused = book.opsbook("run", "tune-postgres", "shared_buffers=90000000GB", "--yes")
    assert refused.returncode == 4 and "shared_buffers" in refused.stderr
    renec.supervisorctl("stop", "postgres-replica")
    try:
        view = book.run("tune-postgres")
    finally:
        renec.supervisorctl("start", "postgres-replica")
    assert view["state"] == "undone" and "replicas" in view["message"]
    assert holds("work_mem") == before
    assert value(renec, "SELECT count(*) FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf'") == 0
    until(lambda: value(renec, "SELECT count(*) FROM pg_stat_replication") == 1, 30)
    book.done("tune-postgres")
    assert (holds("work_mem"), holds("effective_cache_size")) == ("8MB", "256MB")
    assert value(renec, "SELECT pending_restart FROM pg_settings WHERE name = 'shared_buffers'")


@pytest.mark.usefixtures("untuned")
def test_redis_is_tuned_and_a_setting_that_is_refused_takes_the_others_back(book: Book, renec: Renec) -> None:
    server, file = redis(renec, "BROKER_URL"), renec.run_dir / "etc" / "redis.conf"
    before = server.config_get("maxmemory")
    view = book.run("tune-redis", "idle_timeout=-5")
    assert view["state"] == "undone"
    assert server.config_get("maxmemory") == before
    book.done("tune-redis")
    assert server.config_get("maxmemory", "timeout") == {"maxmemory": str(96 * 2**20), "timeout": "300"}
    assert "timeout 300" in file.read_text()


def test_an_outage_is_ended_by_starting_what_is_down(book: Book, renec: Renec) -> None:
    renec.supervisorctl("stop", "api:*", "nginx", "pgbouncer", "postgres")
    assert book.checks("api-up")["api-up"] != "ok"
    book.done("api-outage")
    assert api(renec).get("/ready").status_code == 200
    assert [running(renec, name) for name in ("api", "nginx", "pgbouncer", "postgres")] == [3, 1, 1, 1]


def test_a_version_is_deployed_a_bad_one_goes_back_by_itself_and_a_good_one_when_told(book: Book, renec: Renec) -> None:
    renec.must("release", "1.1.0", "--migration")
    renec.must("release", "1.2.0", "--fault", "errors", "--migration")

    def version() -> str:
        return str(api(renec).get("/version").json()["version"])

    book.done("deploy-version", "version=1.1.0")
    assert version() == "1.1.0"
    worker = Path(f"/proc/{pid_of(renec, 'celery-worker:celery-worker_00')}/cwd")
    assert worker.resolve().name == "1.1.0"
    assert value(renec, "SELECT count(*) FROM information_schema.columns WHERE column_name = 'requested_by'") == 1
    view = book.run("deploy-version", "version=1.2.0")
    assert view["state"] == "undone", view["message"]
    assert version() == "1.1.0"
    book.done("rollback-version", "version=1.0.0")
    assert version() == "1.0.0"
    worker = Path(f"/proc/{pid_of(renec, 'celery-worker:celery-worker_00')}/cwd")
    assert worker.resolve().name == "1.0.0"


def test_the_daily_probe_is_followed_to_its_end(book: Book, renec: Renec) -> None:
    before = value(renec, "SELECT max(id) FROM harvest_runs")
    book.done("trigger-daily-probe")
    after = superuser(renec, f"SELECT mode, status FROM harvest_runs WHERE id > {before}")
    assert after == [("probe", "completed")]


def test_a_full_harvest_is_followed_to_its_end(book: Book, renec: Renec) -> None:
    before = value(renec, "SELECT max(id) FROM harvest_runs")
    book.done("full-harvest")
    after = superuser(renec, f"SELECT mode, status, items = expected FROM harvest_runs WHERE id > {before}")
    assert after == [("full", "completed", True)]


def test_harvests_that_nobody_takes_go_on_after_the_runbook(book: Book, renec: Renec) -> None:
    settings = renec.run_dir / "app.env"
    before = settings.read_text()
    with renec.broken("stopped-worker"):
        assert book.checks("workers")["workers"] == "critical"
        book.done("harvest-failures", "delay=0.06")
        assert running(renec, "celery-worker") == 3
        assert "DOWNLOAD_DELAY=0.06\n" in settings.read_text()
    settings.write_text(before)
    assert book.checks("workers")["workers"] == "ok"


def test_records_that_break_a_rule_are_harvested_again(book: Book, renec: Renec) -> None:
    superuser(
        renec, "UPDATE ec_standards_v2 SET title = '' WHERE code = (SELECT min(code) FROM ec_standards_v2) RETURNING 1"
    )
    superuser(renec, "DELETE FROM certificadores_v2 WHERE code = (SELECT min(certifier_code) FROM centros) RETURNING 1")
    certifiers = value(renec, "SELECT count(*) FROM certificadores_v2")
    view = book.run("data-quality")
    assert view["state"] == "waits for a person" and "2 records" in view["message"]
    assert running(renec, "celery-beat") == 0
    view = book.ticked(view)
    assert view["state"] == "done", view["message"]
    assert value(renec, "SELECT count(*) FROM ec_standards_v2 WHERE title = ''") == 0
    assert value(renec, "SELECT count(*) FROM certificadores_v2") == certifiers + 1
    assert running(renec, "celery-beat") == 1


def test_an_export_is_kept_with_its_checksum(book: Book, renec: Renec) -> None:
    book.done("data-export", "name=partners")
    exports = Path(renec.env["BACKUP_DIR"]) / "exports"
    (bundle,) = exports.rglob("partners_*.zip")
    (manifest,) = exports.rglob("SHA256SUMS")
    assert hashlib.sha256(bundle.read_bytes()).hexdigest() in manifest.read_text()
    names = set(zipfile.ZipFile(bundle).namelist())
    assert {"ec_standards_v2.json", "centros.csv", "certificadores_v2.xlsx"} <= names
    assert not list(Path(renec.env["ARTIFACTS_DIR"]).glob("partners_*"))


@contextmanager
def answers_meanwhile(renec: Renec) -> Iterator[list[httpx.Response]]:
    """What a visitor is answered for the length of a block, ten times a second."""
    answers: list[httpx.Response] = []
    over = threading.Event()

    def look() -> None:
        with api(renec) as client:
            while not over.wait(0.1):
                answers.append(client.get("/health"))

    visitor = threading.Thread(target=look)
    visitor.start()
    try:
        yield answers
    finally:
        over.set()
        visitor.join()


def test_emergency_maintenance_closes_the_house_mends_the_tables_and_opens_it(book: Book, renec: Renec) -> None:
    cache, broker = redis(renec, "REDIS_URL"), redis(renec, "BROKER_URL")
    cache.set("stale", "answer")
    broker.set("beside-the-queue", "stays")
    file = "SELECT pg_relation_filenode('spider_logs')"
    before = value(renec, file)
    with session(renec, "holds-everything") as hanging, answers_meanwhile(renec) as answers:
        hanging.execute("LOCK TABLE spider_logs IN ROW EXCLUSIVE MODE")
        view = book.done("emergency-database-maintenance", "older_than=1s")
    closed = [answer for answer in answers if answer.status_code == 503]
    assert closed and int(closed[0].headers["Retry-After"]) > 0
    assert {answer.status_code for answer in answers} == {200, 503}, "a visitor met an error"
    assert value(renec, file) != before, "the table was not rewritten"
    assert value(renec, "SELECT sum(n_dead_tup) FROM pg_stat_user_tables") < 100
    assert cache.get("stale") is None and broker.get("beside-the-queue") == "stays"
    assert api(renec).get("/health").status_code == 200
    assert [running(renec, n) for n in ("api", "ui", "celery-worker", "celery-beat")] == [3, 2, 3, 1]
    assert state_of(view, "rewrite-standards") == "done"


def test_emergency_maintenance_that_cannot_go_on_opens_the_house_again(book: Book, renec: Renec) -> None:
    with session(renec, "young-but-stubborn") as holder:
        holder.execute("LOCK TABLE spider_logs IN ROW EXCLUSIVE MODE")
        view = book.run("emergency-database-maintenance", "lock_wait=1")
        assert view["state"] in ("undone", "failed"), view["message"]
        assert state_of(view, "rewrite-spider-logs") == "failed"
    assert (renec.run_dir / "etc" / "nginx" / "maintenance.conf").read_text() == ""
    until(lambda: api(renec).get("/ready").status_code == 200, 30)
    assert [running(renec, n) for n in ("api", "ui", "celery-worker", "celery-beat")] == [3, 2, 3, 1]


@pytest.mark.parametrize("procedure", ["daily-maintenance", "weekly-maintenance", "monthly-maintenance"])
def test_regular_maintenance_is_done_with_its_checklist(book: Book, renec: Renec, procedure: str) -> None:
    # What other tests broke is in the error rate of the last minute; the morning's checks rightly stop at it.
    until(lambda: set(book.checks("api-error-rate", "api-latency").values()) <= {"ok", "warning"}, 120)
    view = book.run(procedure)
    assert view["state"] == "waits for a person", view["message"]
    view = book.ticked(view)
    assert view["state"] == "done", view["message"]
    assert len(view["acts"]) >= 4 and all(act["actor"] for act in view["acts"])
    assert value(
        renec,
        "SELECT last_vacuum > now() - interval '3 minutes' FROM pg_stat_user_tables WHERE relname = 'spider_logs'",
    )
