"""What is generated for Prometheus and Alertmanager, held against promtool, amtool and the real servers."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from click.testing import CliRunner

from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.checks.evaluate import State
from opsbook.cli.main import cli
from opsbook.connectors.prometheus import AlertmanagerConnector
from opsbook.connectors.registry import open_connections
from opsbook.engine.setting import open_setting
from opsbook.store import silences
from opsbook.store.database import reading
from opsbook.watch.alertmanager import signals_of
from opsbook.watch.contract import Watch
from opsbook.watch.generate.alertmanager import alertmanager_text
from opsbook.watch.generate.blackbox import modules_text, scrape_text
from opsbook.watch.generate.options import Places
from opsbook.watch.generate.rules import rules_text
from opsbook.watch.remote_silences import mirror_silences
from tests.integration.servers import free_port, make_system, own_folder, until

BLACKBOX = shutil.which("prometheus-blackbox-exporter")
PROMETHEUS, ALERTMANAGER = shutil.which("prometheus"), shutil.which("prometheus-alertmanager")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (PROMETHEUS and ALERTMANAGER), reason="Prometheus and Alertmanager are not installed"),
]
RENEC = Path(__file__).parents[2] / "examples" / "renec" / "ops"
EXPORTERS = [word for name in ("node", "postgres", "redis", "blackbox") for word in ("--exporter", name)]
ADDRESSES = {"API_URL": "https://localhost:8443", "UI_URL": "https://localhost:8444", "CA_FILE": "/etc/ssl/ca.pem",
             "REGISTRY_URL": "http://localhost:8080"}  # fmt: skip

HARD = """\
opsbook: 1
system: hard
title: A "hard" {{ book }}
environments: {one: {policy: open}, two: {policy: open}}
default_environment: one
components:
  api: {kind: http, url: "https://api.example.org", headers: {Authorization: "Bearer ${TOKEN}"}, depends_on: [db]}
  shop: {kind: http, url: "http://shop.example.org", headers: {X-Key: "${TOKEN}"}}
  db: {kind: postgres, dsn: "${DSN}"}
  queue: {kind: redis, url: "${REDIS}"}
  name: {kind: dns, name: api.example.org, resolver: 10.0.0.2, expected: [10.0.0.7]}
  port: {kind: tcp, address: "127.0.0.1:22"}
  host: {kind: host}
  prom: {kind: prometheus, url: "http://127.0.0.1:9090"}
checks:
  - {id: api-up, observe: http.up, of: api}
  - {id: shop-up, observe: http.up, of: shop, title: 'A {{ template }} and "quotes"'}
  - {id: db-up, observe: postgres.up, of: db, procedure: none-yet}
  - {id: hits, observe: postgres.cache_hit_ratio, of: db, with: {database: app}, warning: "< 90%", critical: "< 50%"}
  - {id: connections, observe: postgres.connections_ratio, of: db, for: 90s}
  - {id: age, observe: postgres.uptime, of: db, warning: "< 10m"}
  - {id: version, observe: postgres.version, of: db, critical: "!= 15.6"}
  - {id: queue-up, observe: redis.up, of: queue}
  - {id: memory, observe: redis.memory_ratio, of: queue, for: 5m}
  - {id: saved, observe: redis.last_save, of: queue, warning: "> 1h", critical: "> 1d"}
  - {id: dns, observe: dns.resolves, of: name}
  - {id: ssh, observe: tcp.open, of: port}
  - {id: certificate, observe: tls.days_left, of: api, severity: P1}
  - {id: cpu, observe: host.cpu, of: host, for: 15m}
  - {id: load, observe: host.load, of: host}
  - {id: disk, observe: host.disk_free, of: host, interval: 5m}
  - {id: usual, observe: postgres.database_size, of: db, warning: "> 110% of 7d", critical: "> 200% of 7d", for: 2m}
  - {id: usual-query, observe: prometheus.query, of: prom, with: {query: sum(orders)}, warning: "< 50% of 7d"}
  - {id: range, observe: prometheus.duration, of: prom, with: {query: max(l), unit: ms}, warning: "outside 10ms..20ms"}
  - {id: inside, observe: prometheus.query, of: prom, with: {query: level}, critical: "within 3..5", unknown: critical}
  - {id: exact, observe: prometheus.query, of: prom, with: {query: "mode{kind='a'}"}, critical: "== 2", warning: "!= 1"}
  - {id: percent, observe: prometheus.ratio, of: prom, with: {query: "100 * b / all", percent: true}, warning: "> 70%"}
  - {id: target, observe: prometheus.target_up, of: prom, with: {job: app}}
  - {id: targets, observe: prometheus.targets_down, of: prom}
  - {id: alerts, observe: prometheus.firing_alerts, of: prom}
  - {id: blind, observe: http.latency_p95, of: api, critical: "> 1s", unknown: critical}
  - {id: prom-up, observe: prometheus.up, of: prom}
slos:
  - {id: api, check: api-up, target: 99.9%}
  - {id: loose, check: db-up, target: 90%}
severities: {P1: {respond: 5m, notify: [chat]}, P2: {respond: 1h}}
incidents: {severity: {critical: P1}}
escalation: [{level: L1, notify: ops}, {level: L2, notify: boss, within: 30m}]
channels: {chat: {url: "${SLACK}", format: slack}, pager: {url: "pagerduty://${KEY}"}, hook: "${HOOK}"}
contacts: {ops: {email: ops@example.org}, boss: {email: boss@example.org}}
"""


def opsbook(*words: str, book: Path, ok: bool = True) -> str:
    done = CliRunner().invoke(cli, [*words, "--book", str(book)], env=ADDRESSES, catch_exceptions=False)
    assert (done.exit_code == 0) is ok, done.output
    return done.stdout


def tool(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The example's book as it lies in a repository, and one with all that is hard to write down."""
    folder = tmp_path_factory.mktemp("books")
    shutil.copytree(RENEC, folder / "renec" / "ops", ignore=shutil.ignore_patterns(".opsbook"))
    (folder / "renec" / ".run").mkdir()
    (folder / "renec" / ".run" / "env").touch()
    (folder / "hard").mkdir()
    (folder / "hard" / "book.yaml").write_text(HARD)
    return {"renec": folder / "renec" / "ops", "hard": folder / "hard"}


@pytest.mark.parametrize(("name", "more"), [("renec", []), ("hard", EXPORTERS)])
def test_promtool_proves_every_alert_of_a_book(
    books: dict[str, Path], tmp_path: Path, name: str, more: list[str]
) -> None:
    rules, tests = tmp_path / "rules.yml", tmp_path / "tests.yml"
    opsbook("generate", "prometheus-rules", "--to", str(rules), *more, book=books[name])
    opsbook("generate", "rule-tests", "--to", str(tests), *more, book=books[name])
    assert "SUCCESS" in tool("promtool", "check", "rules", "--lint-fatal", str(rules))
    tool("promtool", "test", "rules", str(tests))
    alerts = {
        (rule["alert"], rule["labels"]["severity"])
        for group in yaml.safe_load(rules.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    asked = yaml.safe_load(tests.read_text())["tests"]
    proven = {
        (one["alertname"], alert["exp_labels"]["severity"])
        for test in asked
        for one in test["alert_rule_test"]
        for alert in one["exp_alerts"]
    }
    assert alerts - proven == set(), "each alert is seen to fire"
    assert "Not tested" not in tests.read_text()


def test_promtool_refuses_rules_whose_limit_or_time_is_another_than_the_tests_say(tmp_path: Path) -> None:
    check = {"id": "lag", "observe": "tcp.connect_time", "of": "port", "warning": "> 20ms", "for": "90s"}
    make_system(tmp_path, {"port": {"kind": "tcp", "address": "127.0.0.1:22"}}, checks=[check])
    rules, tests = tmp_path / "rules.yml", tmp_path / "tests.yml"
    opsbook("generate", "rule-tests", "--to", str(tests), book=tmp_path)
    text = opsbook("generate", "prometheus-rules", book=tmp_path)
    for old, new, right in (("", "", True), ("> 0.02", "> 0.5", False), ("1m30s", "1h", False), ("1m30s", "1s", False)):
        assert old in text
        rules.write_text(text.replace(old, new) if old else text)
        done = subprocess.run(["promtool", "test", "rules", str(tests)], capture_output=True, text=True, timeout=100)
        assert (done.returncode == 0) is right, (old, new, done.stdout)


def routed(config: Path, *labels: str) -> list[str]:
    return tool("amtool", "config", "routes", "test", f"--config.file={config}", *labels).strip().split(",")


def test_amtool_takes_the_routes_and_finds_those_who_are_told(books: dict[str, Path], tmp_path: Path) -> None:
    for name in books:
        for notify in ("opsbook", "channels", "both"):
            config = tmp_path / f"{name}-{notify}.yml"
            opsbook("generate", "alertmanager", "--notify", notify, "--to", str(config), book=books[name])
            assert "SUCCESS" in tool("amtool", "check-config", str(config))
            told = routed(config, "alertname=OpsbookDown", "severity=critical")
            assert told[0] in ("ops", "ana"), "who is told when we cannot"
    assert routed(tmp_path / "hard-opsbook.yml", "severity=critical", "check=api-up") == ["opsbook"]
    assert routed(tmp_path / "hard-both.yml", "severity=critical", "incident_severity=P1") == [
        "opsbook", "chat", "ops", "nobody",
    ]  # fmt: skip
    assert routed(tmp_path / "hard-channels.yml", "severity=warning", "incident_severity=P2") == ["ops", "nobody"]
    assert routed(tmp_path / "hard-channels.yml", "severity=warning") == ["nobody"]
    text = (tmp_path / "hard-both.yml").read_text()
    assert "api_url_file: /etc/alertmanager/secrets/chat" in text
    assert not re.search(r"\$\{|boss@", text), "a secret is named by its file, and who comes later is not told at once"


def test_promtool_takes_the_scrape_configuration_and_no_secret_is_in_the_probes(
    books: dict[str, Path], tmp_path: Path
) -> None:
    scrape, modules = tmp_path / "scrape.yml", tmp_path / "blackbox.yml"
    (token := tmp_path / "token").write_text("s3cret-word")
    places = ["--scrape-to", str(scrape), "--to", str(modules), "--token-file", str(token)]
    opsbook("generate", "blackbox", *places, book=books["hard"])
    assert "s3cret-word" not in scrape.read_text()
    tool("promtool", "check", "config", str(scrape))
    made = yaml.safe_load(modules.read_text())["modules"]
    job = yaml.safe_load(scrape.read_text())["scrape_configs"][1]
    targets = {one["labels"]["check"]: one for one in job["static_configs"]}
    assert set(targets) == {"api-up", "dns", "ssh", "certificate"}
    assert {one["labels"]["__param_module"] for one in targets.values()} == set(made)
    assert made["http-api-up"]["http"]["authorization"]["credentials_file"] == "/etc/alertmanager/secrets/api"
    assert made["dns-dns"]["dns"]["validate_answer_rrs"]["fail_if_not_matches_regexp"] == [r".*\s(10\.0\.0\.7)$"]
    assert "Left out: shop-up: its header X-Key is a secret" in modules.read_text()


# --- the real servers -------------------------------------------------------------------------------------------


@dataclass
class Sink:
    """Takes webhooks, and serves the metrics that a test sets."""

    bodies: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    metrics: str = "broken_things 0\n"
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def sink() -> Iterator[tuple[Sink, int]]:
    found = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.tokens.append(f"{self.path} {self.headers['Authorization']}")
            found.bodies.append(json.loads(body))
            self.answer(b"")

        def do_GET(self) -> None:
            found.asked.append(f"{self.path} {self.headers['Authorization']}")
            self.answer(found.metrics.encode())

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,))
    thread.start()
    yield found, server.server_address[1]
    server.shutdown()
    thread.join()


@pytest.mark.skipif(not BLACKBOX, reason="prometheus-blackbox-exporter is not installed")
def test_blackbox_exporter_takes_the_modules_and_probes_as_the_checks_do(
    books: dict[str, Path], sink: tuple[Sink, int], tmp_path: Path
) -> None:
    assert BLACKBOX
    config = tmp_path / "blackbox.yml"
    for book in books.values():
        opsbook("generate", "blackbox", "--to", str(config), book=book)
        tool(BLACKBOX, f"--config.file={config}", "--config.check")
    own, port = f"127.0.0.1:{sink[1]}", free_port()
    components = {
        "api": {"kind": "http", "url": f"http://{own}", "health": "/well",
                "headers": {"Authorization": "Bearer ${TOKEN}"}},
        "open": {"kind": "tcp", "address": own}, "closed": {"kind": "tcp", "address": f"127.0.0.1:{free_port()}"},
    }  # fmt: skip
    up = {"api": "http.up", "open": "tcp.open", "closed": "tcp.open"}
    system = make_system(tmp_path, components, checks=[{"id": of, "observe": one, "of": of} for of, one in up.items()])
    (tmp_path / "api").write_text("s3cret-word")
    places = Places(secrets=str(tmp_path))
    config.write_text(modules_text(system, places))
    targets = yaml.safe_load(scrape_text(system, places))["scrape_configs"][1]["static_configs"]
    exporter = subprocess.Popen([BLACKBOX, f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}"])

    def probed(module: str, target: str) -> str | None:
        try:
            words = {"module": module, "target": target}
            told = httpx.get(f"http://127.0.0.1:{port}/probe", params=words, timeout=30, trust_env=False).text
        except httpx.HTTPError:
            return None
        return next((line.split()[1] for line in told.splitlines() if line.startswith("probe_success ")), None)

    try:
        for one, success in zip(targets, ("1", "1", "0"), strict=True):
            module, target = one["labels"]["__param_module"], one["targets"][0]
            assert until(partial(probed, module, target), 60, "it probes") == success, target
    finally:
        exporter.terminate()
        exporter.wait(60)
    assert "/well Bearer s3cret-word" in sink[0].asked


CONFIG = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{manager}"]}}]}}]}}
scrape_configs: [{{job_name: app, static_configs: [{{targets: ["127.0.0.1:{app}"]}}]}}]
"""


@pytest.fixture(scope="module")
def monitored(sink: tuple[Sink, int]) -> Iterator[tuple[System, int]]:
    """A system whose Prometheus and Alertmanager have what was generated of its book."""
    assert PROMETHEUS
    assert ALERTMANAGER
    port, manager = free_port(), free_port()
    with own_folder("generated") as folder:
        check = {"id": "broken-things", "observe": "prometheus.query", "of": "prom", "with": {"query": "broken_things"},
                 "critical": "> 0", "for": "1s", "title": "Things that are broken"}  # fmt: skip
        components = {
            "prom": {"kind": "prometheus", "url": f"http://127.0.0.1:{port}"},
            "alerts": {"kind": "alertmanager", "url": f"http://127.0.0.1:{manager}"},
        }
        system = make_system(folder, components, checks=[check])
        (folder / "token").write_text("s3cret-word")
        places = Places(opsbook=f"http://127.0.0.1:{sink[1]}", token_file=str(folder / "token"))
        (folder / "rules.yml").write_text(rules_text(system, places))
        quick = alertmanager_text(system, places).replace("group_interval: 10s", "group_interval: 1s")
        (folder / "a.yml").write_text(quick)
        (folder / "p.yml").write_text(CONFIG.format(manager=manager, app=sink[1]))
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
            until(lambda: _silences(manager) is not None, 90, "Alertmanager answers")
            yield system, manager
        finally:
            for process in processes:
                process.terminate()
                process.wait(60)


def _silences(manager: int) -> list[dict[str, Any]] | None:
    try:
        found = httpx.get(f"http://127.0.0.1:{manager}/api/v2/silences", trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return None
    return [one for one in found if one["status"]["state"] == "active"]


async def held(system: System) -> set[str]:
    async with open_connections(system) as connections:
        alertmanager = connections.of("alerts")
        assert isinstance(alertmanager, AlertmanagerConnector)
        return {one["fingerprint"] for one in await alertmanager.held()}


def test_a_fault_fires_by_the_generated_rule_and_arrives_as_a_signal_of_its_check(
    monitored: tuple[System, int], sink: tuple[Sink, int]
) -> None:
    system, _ = monitored
    found, _ = sink

    def heard(state: State) -> Any:
        now = datetime.now(UTC)
        signals = [one for body in list(found.bodies) for one in signals_of(body, system, now)]
        return next((one for one in reversed(signals) if one.check == "broken-things" and one.state is state), None)

    found.metrics = "broken_things 3\n"
    fired = until(lambda: heard(State.CRITICAL), 90, "the fault arrives")
    assert fired.component == "prom"
    assert fired.title == "Things that are broken"
    assert fired.sentence == "3 is critical (> 0)"
    assert found.tokens[-1] == "/api/v1/alertmanager Bearer s3cret-word"
    assert fired.fingerprint.removeprefix("alertmanager:") in asyncio.run(held(system))
    found.metrics = "broken_things 0\n"
    resolved = until(lambda: heard(State.OK), 90, "its end arrives")
    assert resolved.fingerprint == fired.fingerprint


def test_silences_are_set_and_ended_in_alertmanager_and_those_of_others_count_here(
    monitored: tuple[System, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, manager = monitored
    monkeypatch.setenv("OPSBOOK_STORE", str(tmp_path / "store.db"))
    setting = open_setting(system)
    where = {"system": "test", "environment": "test"}
    now = datetime.now(UTC)
    mine = silences.Silence("s1", ("broken-things",), ("prom",), "known", "ann", "cli", now.timestamp(),
                            (now + timedelta(hours=1)).timestamp())  # fmt: skip

    def look() -> None:
        async def once() -> None:
            async with open_connections(system) as connections:
                await mirror_silences(Watch(setting, system, connections), "alerts", datetime.now(UTC))

        asyncio.run(once())

    def stored(name: str) -> silences.Silence:
        with reading(setting.store) as connection:
            return silences.named(connection, where, name)[0]

    try:
        setting.write([lambda connection: silences.add(connection, where, mine)])
        for _ in range(2):  # the second look finds what the first one set
            look()
        there = _silences(manager) or []
        assert len(there) == 2, "checks and components are told apart there"
        assert {one["id"] for one in there} == set(stored("s1").remote.split()[1:])
        setting.write([lambda connection: silences.extend(connection, "s1", (now + timedelta(hours=2)).timestamp())])
        look()
        ends = {datetime.fromisoformat(one["endsAt"]) for one in _silences(manager) or []}
        assert all(abs(end - now - timedelta(hours=2)) < timedelta(seconds=5) for end in ends)
        setting.write([lambda connection: silences.end(connection, "s1", datetime.now(UTC).timestamp())])
        look()
        assert _silences(manager) == []

        theirs = tool("amtool", f"--alertmanager.url=http://127.0.0.1:{manager}", "silence", "add", "--author=bob",
                      "--comment=upgrade", "--duration=1h", "alertname=BrokenThings").strip()  # fmt: skip
        look()
        taken = stored(f"am-{theirs}")
        assert (taken.checks, taken.author, taken.reason, taken.origin) == (
            ("broken-things",), "bob", "upgrade", "alertmanager",
        )  # fmt: skip
        with reading(setting.store) as connection:
            assert (
                silences.covering(connection, where, "broken-things", "prom", datetime.now(UTC).timestamp()) == taken.id
            )
        tool("amtool", f"--alertmanager.url=http://127.0.0.1:{manager}", "silence", "expire", theirs)
        look()
        assert not stored(f"am-{theirs}").holds(datetime.now(UTC).timestamp())
    finally:
        setting.close()


def test_generating_to_a_folder_that_is_not_there_says_what_to_do(books: dict[str, Path], tmp_path: Path) -> None:
    done = CliRunner().invoke(
        cli, ["generate", "grafana", "--book", str(books["hard"]), "--to", str(tmp_path / "no" / "file")]
    )
    assert "No such file or directory" in str(done.exception)


def test_both_environments_of_a_book_have_rules_of_their_own(books: dict[str, Path]) -> None:
    system = in_environment(load_book(books["hard"] / "book.yaml", catalogue()), "two")
    assert 'environment="two"' in rules_text(system, Places())
