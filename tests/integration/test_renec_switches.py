"""Every switch of the example system spoils what it says, where an operator would look, and is mended."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.integration.conftest import Renec
from tests.integration.renec import api, call, metric, rows
from tests.integration.servers import until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("renec"), pytest.mark.timeout(180)]


def test_unknown_switches_are_refused_with_the_known_ones(renec: Renec) -> None:
    done = renec.run("break", "nonsense")
    assert done.returncode == 3
    assert "slow-api" in done.stderr


def test_slow_api_delays_every_request_until_mended(renec: Renec) -> None:
    def seconds() -> float:
        with api(renec) as client:
            return client.get("/health").elapsed.total_seconds()

    with renec.broken("slow-api"):
        until(lambda: seconds() > 0.4, 5, "the API did not become slow")
    until(lambda: seconds() < 0.2, 5, "the API stayed slow")


def test_api_errors_fail_a_share_of_requests(renec: Renec) -> None:
    with renec.broken("api-errors", share=1.0), api(renec) as client:
        until(lambda: client.get("/api/v1/standards").status_code == 500, 5, "no request failed")
        assert metric(renec, "api_errors_total") >= 1
        assert client.get("/health").status_code == 200


def test_stopped_worker_lets_the_queue_age(renec: Renec) -> None:
    with renec.broken("stopped-worker"):
        call(renec, "check_freshness")
        until(lambda: metric(renec, "celery_oldest_waiting_task_age_seconds") > 1, 10, "no task waits")
    until(lambda: metric(renec, "celery_queue_length") == 0, 15, "the queue was not worked off")


def test_full_disk_stops_exports_and_harvests(renec: Renec) -> None:
    output = Path(renec.env["ARTIFACTS_DIR"]) / "too-much.zip"
    with renec.broken("full-disk"):
        assert sum(p.stat().st_size for p in output.parent.rglob("*") if p.is_file()) >= 200 * 1024 * 1024
        done = renec.run("exec", "--", "python", "-m", "src.cli", "export", "bundle", "--output", str(output))
        assert done.returncode == 3
        assert "remove old exports" in done.stderr
        assert renec.run("harvest", "--mode", "probe").returncode == 3
    assert not output.exists()


def test_replication_stopped_makes_the_replica_fall_behind(renec: Renec) -> None:
    behind = "SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) > 0"
    with renec.broken("replication-stopped"):
        with api(renec) as client:
            client.get("/api/v1/standards")  # is recorded, so there is something to replay
        until(lambda: rows(renec.env["REPLICA_URL"], behind) == [(True,)], 15, "the replica is not behind")
    until(lambda: rows(renec.env["REPLICA_URL"], behind) == [(False,)], 15, "the replica did not catch up")


def served_days(renec: Renec) -> float:
    pem = ssl.get_server_certificate(("127.0.0.1", renec.base + 443))
    left: timedelta = x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc - datetime.now(UTC)
    return left.total_seconds() / 86400


def test_certificate_expiring_is_served_and_replaced(renec: Renec) -> None:
    with renec.broken("certificate-expiring"):
        until(lambda: 4 < served_days(renec) <= 5, 5, "the old certificate is still served")
    until(lambda: served_days(renec) > 80, 5, "the expiring certificate is still served")


@pytest.mark.timeout(300)
def test_stalled_spider_runs_and_scrapes_nothing(renec: Renec) -> None:
    def stats() -> dict[str, Any]:
        with api(renec) as client:
            return dict(client.get("/api/v1/stats/harvests").json())

    until(lambda: stats()["running"] is None, 80, "the harvest of another test did not end")
    with renec.broken("stalled-spider"):
        until(lambda: stats()["running"] is not None, 15, "no harvest runs")
        assert stats()["running"]["items"] == 0
        assert metric(renec, "renec_harvests_running") == 1
    until(lambda: stats()["running"] is None, 100, "the harvest did not go on")


def test_connections_exhausted_takes_nearly_all_of_them(renec: Renec) -> None:
    share = (
        "SELECT count(*) / current_setting('max_connections')::float FROM pg_stat_activity"
        " WHERE backend_type = 'client backend'"
    )
    with renec.broken("connections-exhausted"):
        assert rows(renec.env["DATABASE_SUPERUSER_URL"], share)[0][0] > 0.9
    until(lambda: rows(renec.env["DATABASE_URL"], share)[0][0] < 0.5, 10, "the connections were not given back")


def test_registry_markup_makes_a_harvest_fail_by_type(renec: Renec) -> None:
    with renec.broken("registry-markup"):
        done = renec.run("harvest", "--mode", "probe")
    assert done.returncode == 1
    assert "LayoutError" in done.stderr
    last = "SELECT status, error_types FROM harvest_runs ORDER BY id DESC LIMIT 1"
    assert rows(renec.env["DATABASE_URL"], last) == [("failed", {"LayoutError": 3})]


def test_registry_throttles_is_honoured_and_the_harvest_completes(renec: Renec) -> None:
    with renec.broken("registry-throttles"):
        said = renec.must("harvest", "--mode", "probe")
    assert said.startswith("completed: 30/30")
    assert "told to wait" in said


def test_database_down_is_seen_by_ready_and_not_by_health(renec: Renec) -> None:
    with api(renec) as client:
        with renec.broken("database-down"):
            until(lambda: client.get("/ready").status_code == 503, 10, "the API did not notice")
            assert client.get("/health").status_code == 200
            assert client.get("/api/v1/stats/harvests").status_code == 503
            assert metric(renec, 'renec_source_up{source="database"}') == 0
        until(lambda: client.get("/ready").status_code == 200, 15, "the API did not recover")
