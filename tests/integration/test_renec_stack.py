"""The example system starts, works, can be spoiled and mended, and survives what a real one must."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
import redis

from tests.integration.conftest import Renec
from tests.integration.renec import api, call, metric, pid_of, rows
from tests.integration.servers import until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("renec"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def harvested(renec: Renec) -> str:
    """What the first full harvest said."""
    return renec.must("harvest")


@contextlib.contextmanager
def requests_under_way(renec: Renec, path: str) -> Iterator[list[int]]:
    """Requests through nginx one after the other, all the while; yields the list of their statuses."""
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
        with api(renec) as client:
            while not over.is_set():
                try:
                    statuses.append(client.get(path).status_code)
                except httpx.HTTPError:
                    statuses.append(0)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()


# what is there


def test_every_program_of_the_stack_runs_in_its_number(renec: Renec) -> None:
    said = renec.must("status")
    for line in ("postgres          running", "postgres-replica  running", "redis             running"):
        assert line in said
    assert "api               running  3 of 3" in said
    assert "celery-worker     running  3 of 3" in said
    assert "ui                running  2 of 2" in said


def test_api_and_ui_answer_over_tls_of_the_local_authority(renec: Renec) -> None:
    with api(renec) as client:
        assert client.get("/ready").json() == {"status": "ok", "database": "ok", "cache": "ok"}
        assert client.get("/version").json() == {"version": "1.0.0"}
        assert client.get("/ui/health").status_code == 200
        assert "RENEC Harvester" in client.get("/ui/").text
    with pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(f"{renec.env['API_URL']}/health")


def test_files_with_passwords_are_readable_by_their_owner_alone(renec: Renec) -> None:
    secret = [*Path(renec.env["SECRETS_DIR"]).iterdir(), renec.run_dir / "env", renec.run_dir / "app.env"]
    assert len(secret) > 8
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}


def test_no_password_is_in_an_argument_or_a_log(renec: Renec) -> None:
    passwords = [path.read_text().strip() for path in Path(renec.env["SECRETS_DIR"]).iterdir()]
    said = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    said += [path.read_text(errors="replace") for path in Path(renec.env["LOG_DIR"]).iterdir()]
    assert not [password for password in passwords if any(password in text for text in said)]


def test_the_replica_streams_over_its_slot_and_checksums_are_on(renec: Renec) -> None:
    assert rows(renec.env["DATABASE_URL"], "SELECT slot_name, active FROM pg_replication_slots") == [
        ("replica_1", True)
    ]
    assert rows(renec.env["REPLICA_URL"], "SELECT pg_is_in_recovery()") == [(True,)]
    assert rows(renec.env["DATABASE_URL"], "SHOW data_checksums") == [("on",)]


def test_the_monitoring_role_sees_statistics_and_changes_nothing(renec: Renec) -> None:
    assert rows(renec.env["DATABASE_URL"], "SELECT count(*) > 0 FROM pg_stat_statements WHERE query <> ''") == [(True,)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        rows(renec.env["DATABASE_URL"], "DELETE FROM api_logs RETURNING id")


def test_the_pool_shows_its_state_to_the_monitoring_role_alone_to_look_at(renec: Renec) -> None:
    pools = rows(renec.env["PGBOUNCER_URL"], "SHOW POOLS")
    assert ("renec_harvester", "api_user") in [pool[:2] for pool in pools]
    with pytest.raises(psycopg.Error, match="admin access needed"):
        rows(renec.env["PGBOUNCER_URL"], "PAUSE")


def test_a_rotated_password_is_picked_up_without_a_restart(renec: Renec) -> None:
    secret = Path(renec.env["SECRETS_DIR"]) / "api_user"
    before = secret.read_text().strip()
    pids = renec.supervisorctl("pid", "all")
    try:
        secret.write_text("another-password\n")
        rows_changed(renec, "ALTER ROLE api_user PASSWORD 'another-password'")
        rows_changed(renec, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'api_user'")
        with api(renec) as client:
            until(lambda: client.get("/ready").status_code == 200, 10, "the new password was not used")
    finally:
        secret.write_text(f"{before}\n")
        rows_changed(renec, f"ALTER ROLE api_user PASSWORD '{before}'")
    assert renec.supervisorctl("pid", "all") == pids


def rows_changed(renec: Renec, statement: str) -> None:
    with psycopg.connect(renec.env["DATABASE_SUPERUSER_URL"], autocommit=True) as connection:
        connection.execute(statement)


def test_prometheus_scrapes_the_api_and_its_rules_are_sound(renec: Renec) -> None:
    if "PROMETHEUS_URL" not in renec.env:
        pytest.skip("not installed: prometheus")

    def up() -> bool:
        answer = httpx.get(f"{renec.env['PROMETHEUS_URL']}/api/v1/query", params={"query": 'up{job="api"}'}).json()
        # Both sides are scraped, for either may serve; the one that waits does not answer.
        return sorted(r["value"][1] for r in answer["data"]["result"]) == ["0", "1"]

    until(up, 20, "Prometheus did not scrape the API")
    groups = httpx.get(f"{renec.env['PROMETHEUS_URL']}/api/v1/rules").json()["data"]["groups"]
    found = [rule for group in groups for rule in group["rules"]]
    assert {"ApiErrorRateHigh", "SpiderStalled"} <= {rule["name"] for rule in found}
    assert all(rule["health"] in ("ok", "unknown") for rule in found)


# what it does


def test_a_harvest_stores_the_whole_register_and_the_replica_has_it(renec: Renec, harvested: str) -> None:
    assert harvested.startswith("completed: 246/246 records")
    count = " UNION ALL ".join(f"SELECT count(*) FROM {t}" for t in ("ec_standards_v2", "certificadores_v2", "centros"))
    assert rows(renec.env["DATABASE_URL"], count) == [(150,), (36,), (60,)]
    until(lambda: rows(renec.env["REPLICA_URL"], count) == [(150,), (36,), (60,)], 10, "the replica did not follow")


@pytest.mark.usefixtures("harvested")
def test_a_second_look_asks_only_for_what_changed(renec: Renec) -> None:
    assert "34 unchanged" in renec.must("harvest", "--mode", "probe")


@pytest.mark.usefixtures("harvested")
def test_the_statistics_tell_duration_speed_freshness_and_coverage(renec: Renec) -> None:
    with api(renec) as client:
        stats = client.get("/api/v1/stats/harvests").json()
    full = next(run for run in stats["runs"] if run["mode"] == "full")
    assert 5 < full["duration_seconds"] < 60
    assert full["items_per_hour"] > 10_000
    assert stats["coverage"] == 1.0
    assert stats["freshness_seconds"] < 180
    assert stats["running"] is None


@pytest.mark.usefixtures("harvested")
def test_reading_and_searching_is_cached_in_redis(renec: Renec) -> None:
    with api(renec) as client:
        record = client.get("/api/v1/standards/EC0007").json()
        assert client.get("/api/v1/search", params={"q": "EC0007"}).json()["standards"]["items"][0] == record
        assert client.get("/api/v1/standards/EC9999").status_code == 404
    with redis.Redis.from_url(renec.env["REDIS_URL"]) as cache:
        assert cache.exists("cache:standards/EC0007")


def test_every_request_is_recorded_and_counted_by_its_status(renec: Renec) -> None:
    before = metric(renec, 'http_requests_total{method="POST",route="/api/v1/harvests",status="403"}')
    tokens = {"": 401, "Bearer wrong": 401, f"Bearer {renec.env['READER_TOKEN']}": 403}
    with api(renec) as client:
        for token, status in tokens.items():
            assert client.post("/api/v1/harvests", headers={"Authorization": token}).status_code == status
    assert metric(renec, 'http_requests_total{method="POST",route="/api/v1/harvests",status="403"}') == before + 1
    query = "SELECT count(*) FROM api_logs WHERE status = 403 AND release = '1.0.0'"
    until(lambda: rows(renec.env["DATABASE_URL"], query)[0][0] >= 1, 5, "the request was not recorded")


@pytest.mark.usefixtures("harvested")
def test_a_task_called_by_hand_runs_and_leaves_its_row(renec: Renec) -> None:
    task = call(renec, "reharvest_items", "--args", '[["EC0001", "ECE002"]]')
    query = f"SELECT state FROM task_runs WHERE task_id = '{task}'"
    until(lambda: rows(renec.env["DATABASE_URL"], query) == [("SUCCESS",)], 30, "the task did not succeed")
    assert rows(renec.env["DATABASE_URL"], "SELECT mode, items FROM harvest_runs ORDER BY id DESC LIMIT 1") == [
        ("codes", 2)
    ]


def test_a_failed_task_is_counted_and_says_why(renec: Renec) -> None:
    before = metric(renec, "celery_task_failures_total")
    task = call(renec, "reharvest_items", "--args", '[["nonsense"]]')
    query = f"SELECT state, error FROM task_runs WHERE task_id = '{task}'"
    until(lambda: rows(renec.env["DATABASE_URL"], query)[0][0] == "FAILURE", 30, "the task did not fail")
    assert "HarvestFailed" in rows(renec.env["DATABASE_URL"], query)[0][1]
    # Others fail too, and a busy API shows the figures that it last had.
    until(lambda: metric(renec, "celery_task_failures_total") > before, 30, "the failure was not counted")


@pytest.mark.usefixtures("harvested")
def test_an_export_holds_every_record_in_three_formats(renec: Renec) -> None:
    output = Path(renec.env["ARTIFACTS_DIR"]) / "export.zip"
    renec.must("exec", "--", "python", "-m", "src.cli", "export", "bundle", "--output", str(output))
    with zipfile.ZipFile(output) as bundle:
        assert json.loads(bundle.read("manifest.json"))["rows"]["ec_standards_v2"] == 150
        assert len(json.loads(bundle.read("centros.json"))) == 60
        assert {"centros.csv", "centros.xlsx"} <= set(bundle.namelist())


def test_the_register_answers_304_to_a_known_page_and_429_to_a_burst(renec: Renec) -> None:
    page = f"{renec.env['REGISTRY_URL']}/RENEC/estandares/EC0001"
    with httpx.Client() as client:
        etag = client.get(page).headers["ETag"]
        assert client.get(page, headers={"If-None-Match": etag}).status_code == 304
        burst = [client.get(page) for _ in range(400)]
        refused = [answer for answer in burst if answer.status_code == 429]
        assert refused
        assert refused[0].headers["Retry-After"] == "2"
        until(lambda: client.get(page).status_code == 200, 5, "the register did not forgive")


def test_replicas_restart_one_by_one_without_a_lost_request(renec: Renec) -> None:
    with requests_under_way(renec, "/api/v1/standards") as statuses:
        for slot in ("api:api_00", "api:api_01", "api:api_02"):
            until(lambda: len(statuses) > 5, 10)
            renec.supervisorctl("restart", slot)
        so_far = len(statuses)
        until(lambda: len(statuses) > so_far + 5, 10)
    assert set(statuses) == {200}


# what it survives


@pytest.mark.parametrize("process", ["api:api_01", "redis", "nginx", "celery-worker:celery-worker_02", "pgbouncer"])
def test_a_killed_process_comes_back(renec: Renec, process: str) -> None:
    before = pid_of(renec, process)
    os.kill(before, signal.SIGKILL)
    until(lambda: pid_of(renec, process) not in (0, before), 15, f"{process} did not come back")
    renec.must("up", "--quiet")
    assert renec.must("status").count(" running") >= 10
    with api(renec) as client:
        assert client.get("/ready").status_code == 200


def test_up_after_a_killed_supervisord_ends_the_orphans_and_recovers(renec: Renec) -> None:
    orphan = pid_of(renec, "api:api_00")
    os.kill(int((renec.run_dir / "pids" / "supervisord.pid").read_text()), signal.SIGKILL)
    until(lambda: renec.run("status").stdout.strip() == "down", 5)
    assert psutil.pid_exists(orphan)
    renec.must("up")
    assert orphan not in (pid_of(renec, f"api:api_0{n}") for n in range(3))
    until(lambda: not alive(orphan), 5, "the orphan lives")


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_down_leaves_no_process_and_up_finds_the_data_again(renec: Renec) -> None:
    count = "SELECT count(*) FROM spider_logs"
    before = rows(renec.env["DATABASE_URL"], count)[0][0]
    assert before > 0
    renec.must("down")
    root = str(renec.run_dir.resolve())
    left = [p.info["cmdline"] for p in psutil.process_iter(["cmdline"]) if root in " ".join(p.info["cmdline"] or [])]
    assert left == []
    renec.must("up")
    assert rows(renec.env["DATABASE_URL"], count)[0][0] >= before


# releases


def with_release(renec: Renec, version: str, check: Callable[[], None], *flags: str) -> None:
    """Point `current` at a new release, restart one replica, check, and go back."""
    renec.must("release", version, *flags)
    current = Path(renec.env["CURRENT_RELEASE"])
    before = current.readlink()
    link_to(current, Path("releases") / version)
    try:
        renec.supervisorctl("restart", "api:api_00")
        check()
    finally:
        link_to(current, before)
        renec.supervisorctl("restart", "api:api_00")
        shutil.rmtree(Path(renec.env["RELEASES_DIR"]) / version)


def link_to(current: Path, target: Path) -> None:
    fresh = current.with_name(".fresh")
    fresh.symlink_to(target)
    fresh.replace(current)


def versions_seen(renec: Renec) -> set[str]:
    with api(renec) as client:
        return {client.get("/version").json()["version"] for _ in range(40)}


def test_a_restarted_replica_runs_the_new_release_beside_the_old(renec: Renec) -> None:
    def both() -> None:
        until(lambda: "1.9.0" in versions_seen(renec), 30, "the new release does not answer")
        assert metric(renec, 'renec_release_info{version="1.9.0"}') == 1
        assert metric(renec, 'renec_release_info{version="1.0.0"}') == 2

    with_release(renec, "1.9.0", both)


def test_a_release_that_crashes_never_runs(renec: Renec) -> None:
    def fatal() -> None:
        until(lambda: "FATAL" in renec.supervisorctl("status", "api:api_00"), 60, "supervisor goes on trying")
        with api(renec) as client:
            assert {client.get("/version").json()["version"] for _ in range(10)} == {"1.0.0"}

    with_release(renec, "1.9.1", fatal, "--fault", "crash")


def test_a_release_with_a_migration_goes_forth_and_back(renec: Renec) -> None:
    renec.must("release", "1.9.2", "--migration")
    folder = Path(renec.env["RELEASES_DIR"]) / "1.9.2"
    column = "SELECT 1 FROM information_schema.columns WHERE column_name = 'requested_by'"
    for target, expected in (("head", [(1,)]), ("0003", [])):
        verb = "upgrade" if target == "head" else "downgrade"
        renec.must("exec", "--", "python", "-m", "alembic", "-c", str(folder / "alembic.ini"), verb, target)
        assert rows(renec.env["DATABASE_URL"], column) == expected


def test_a_version_that_exists_is_not_overwritten(renec: Renec) -> None:
    done = renec.run("release", "1.0.0")
    assert done.returncode == 3
    assert "exists" in done.stderr
