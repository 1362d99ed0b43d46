"""A real Prometheus and Alertmanager."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from opsbook.book.system import System
from opsbook.connectors.contract import Failure, Reading
from opsbook.connectors.registry import open_connections
from tests.integration.servers import ask, free_port, make_system, own_folder, until
from tests.integration.web import answer, serving

PROMETHEUS, ALERTMANAGER = shutil.which("prometheus"), shutil.which("prometheus-alertmanager")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (PROMETHEUS and ALERTMANAGER), reason="Prometheus and Alertmanager are not installed"),
]
RULES = """\
groups:
  - name: test
    rules:
      - {alert: Always, expr: vector(1), labels: {severity: critical}}
      - {alert: Never, expr: vector(1) > 2}
"""
CONFIG = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{manager}"]}}]}}]}}
scrape_configs:
  - {{job_name: app, static_configs: [{{targets: ["127.0.0.1:{app}"]}}]}}
  - {{job_name: gone, static_configs: [{{targets: ["127.0.0.1:{gone}"]}}]}}
"""


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    assert PROMETHEUS
    assert ALERTMANAGER
    page = answer('# TYPE jobs gauge\njobs{queue="a"} 3\njobs{queue="b"} 4\n', Content_Type="text/plain")
    port, manager = free_port(), free_port()
    with own_folder("prom") as folder, serving({"/metrics": page}) as app:
        (folder / "rules.yml").write_text(RULES)
        (folder / "p.yml").write_text(CONFIG.format(manager=manager, app=app.port, gone=free_port()))
        (folder / "a.yml").write_text("route: {receiver: none, group_wait: 0s}\nreceivers: [{name: none}]\n")
        processes = [
            subprocess.Popen(
                [PROMETHEUS, f"--config.file={folder}/p.yml", f"--storage.tsdb.path={folder}/data",
                 f"--web.listen-address=127.0.0.1:{port}", "--log.level=error", "--rules.alert.resend-delay=1s"]
            ),
            subprocess.Popen(
                [ALERTMANAGER, f"--config.file={folder}/a.yml", f"--storage.path={folder}/am",
                 f"--web.listen-address=127.0.0.1:{manager}", "--cluster.listen-address=", "--log.level=error"]
            ),
        ]  # fmt: skip
        try:
            until(lambda: _alerts(manager), 40, "the alert reaches Alertmanager")
            until(lambda: _series(port, 'up{job="gone"}'), 20, "targets were scraped")
            yield make_system(
                folder,
                {"prom": {"kind": "prometheus", "url": f"http://127.0.0.1:{port}"},
                 "alerts": {"kind": "alertmanager", "url": f"http://127.0.0.1:{manager}"},
                 "dead": {"kind": "prometheus", "url": f"http://127.0.0.1:{free_port()}"},
                 "other": {"kind": "prometheus", "url": f"http://127.0.0.1:{app.port}"}},
            )  # fmt: skip
        finally:
            for process in processes:
                process.terminate()
                process.wait(15)


def _alerts(port: int) -> Any:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/api/v2/alerts", trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return None


def _series(port: int, query: str) -> Any:
    found = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": query}, trust_env=False).json()
    return found["data"]["result"]


async def read(system: System, component: str, *facts: Any) -> list[Reading]:
    async with open_connections(system) as connections:
        return await ask(connections, component, *facts)


async def test_both_are_up(system: System) -> None:
    assert (await read(system, "prom", "prometheus.up"))[0].value is True
    assert (await read(system, "alerts", "alertmanager.up"))[0].value is True


async def test_queries_yield_numbers_in_their_dimension(system: System) -> None:
    one, total, ratio, duration, scalar = await read(
        system, "prom",
        ("prometheus.query", {"query": 'jobs{queue="a"}'}),
        ("prometheus.query", {"query": "jobs", "take": "sum"}),
        ("prometheus.ratio", {"query": 'sum(jobs{queue="a"}) / sum(jobs) * 100', "percent": True}),
        ("prometheus.duration", {"query": "sum(jobs)", "unit": "ms"}),
        ("prometheus.query", {"query": "1 + 1"}),
    )  # fmt: skip
    assert one.value == 3
    assert total.value == 7
    assert ratio.value == pytest.approx(3 / 7)
    assert duration.value == pytest.approx(0.007)
    assert scalar.value == 2


async def test_what_a_query_does_not_yield_is_unknown(system: System) -> None:
    many, empty, nan, wrong, matrix = await read(
        system, "prom",
        ("prometheus.query", {"query": "jobs"}),
        ("prometheus.query", {"query": "no_such_metric"}),
        ("prometheus.query", {"query": "sum(jobs) * 0 / 0"}),
        ("prometheus.query", {"query": "sum(jobs"}),
        ("prometheus.query", {"query": "jobs[1m]"}),
    )  # fmt: skip
    assert [one.value for one in (many, empty, nan, wrong, matrix)] == [None] * 5
    assert "yields 2 series" in many.message
    assert empty.failure is Failure.ABSENT
    assert nan.failure is Failure.ABSENT
    assert "parse error" in wrong.message, "Prometheus' own words"
    assert "yields a matrix" in matrix.message


async def test_alerts_and_targets_are_counted(system: System) -> None:
    firing, other, down, app, gone, absent = await read(
        system, "prom",
        "prometheus.firing_alerts",
        ("prometheus.firing_alerts", {"labels": {"severity": "info"}}),
        "prometheus.targets_down",
        ("prometheus.target_up", {"job": "app"}),
        ("prometheus.target_up", {"job": "gone"}),
        ("prometheus.target_up", {"job": "nothing"}),
    )  # fmt: skip
    assert (firing.value, firing.message) == (1.0, "Always")
    assert other.value == 0
    assert down.value == 1
    assert "connection refused" in down.message
    assert (app.value, gone.value) == (True, False)
    assert absent.failure is Failure.ABSENT
    assert "app, gone" in absent.message
    (active,) = await read(system, "alerts", "alertmanager.alerts")
    assert (active.value, active.message) == (1.0, "Always")


async def test_a_prometheus_that_is_not_there_or_is_something_else_is_unknown(system: System) -> None:
    for name in ("dead", "other"):
        for reading in await read(system, name, ("prometheus.query", {"query": "up"}), "prometheus.firing_alerts"):
            assert reading.value is None
            assert reading.failure in (Failure.UNREACHABLE, Failure.FAILED)
    assert (await read(system, "other", "prometheus.up"))[0].value is False
