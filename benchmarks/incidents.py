"""Alert in → notification out, against Alertmanager alone on this machine, with 1, 1,000 and 10,000 active alerts.

Both are whole processes that get a new alert over their own HTTP door (ours: Alertmanager's webhook at `opsbook serve`,
with a store on SQLite and on PostgreSQL; Alertmanager: its API with `group_wait: 0s`), and tell the same webhook. Also:
what a person waits for who acknowledges over the API while so many alerts are active, how many webhooks a second are
taken in, and what an alert costs in processor time, which the load of the machine changes little.
"""

from __future__ import annotations

import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import yaml
from figures import Figure, tell
from served import Served, alert, postgres, served

ACTIVE = (1, 1_000, 10_000)
ROUNDS = 15
DEADLINE = 20.0
PAUSE = 0.15
"""Seconds between two rounds: a fault that comes alone is what somebody waits for."""
INTAKE = 300


class Sink:
    """A webhook that notes when something with a word in it arrived."""

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}
        self.waiting: dict[str, threading.Event] = {}
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                at = time.perf_counter()
                for word, event in list(sink.waiting.items()):
                    if word in body and not event.is_set():
                        sink.arrived[word] = at
                        event.set()
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def expect(self, word: str) -> threading.Event:
        return self.waiting.setdefault(word, threading.Event())


def alertmanager_posts(port: int, names: list[str]) -> None:
    """Alerts into Alertmanager, a thousand a request."""
    start = datetime.now(UTC)
    end = (start + timedelta(hours=1)).isoformat()
    for begin in range(0, len(names), 1000):
        alerts = [
            {"labels": {"alertname": name}, "startsAt": start.isoformat(), "endsAt": end}
            for name in names[begin : begin + 1000]
        ]
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/v2/alerts", json.dumps(alerts).encode(), {"content-type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=60).read()


@contextmanager
def alertmanager(sink: Sink) -> Iterator[tuple[int, psutil.Process]]:
    """Alertmanager alone: every alert its own group, told at once; those that are only to be active go nowhere."""
    found = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if found is None:
        sys.exit("alertmanager is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as folder:
        config = {
            "route": {
                "receiver": "hook", "group_by": ["alertname"], "group_wait": "0s", "group_interval": "1s",
                "routes": [{"receiver": "nobody", "matchers": ['alertname=~"active.*"'], "group_by": ["nothing"]}],
            },
            "receivers": [
                {"name": "hook", "webhook_configs": [{"url": sink.url, "send_resolved": False}]}, {"name": "nobody"},
            ],
        }  # fmt: skip
        path = Path(folder) / "alertmanager.yml"
        path.write_text(yaml.safe_dump(config))
        command = [found, f"--config.file={path}", f"--storage.path={folder}/data", "--cluster.listen-address=",
                   f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until = time.monotonic() + 20
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=1).read()
                    break
                except OSError:
                    if time.monotonic() > until:
                        sys.exit("alertmanager did not start")
                    time.sleep(0.1)
            yield port, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(10)


@dataclass(frozen=True)
class Measured:
    """Seconds of each round, and of processor time for one."""

    told: list[float]
    cpu: float
    acknowledged: list[float] = field(default_factory=list)
    intake: float = 0.0
    """Webhooks of one new alert each, taken in a second."""


def theirs(sink: Sink, active: int) -> Measured:
    with alertmanager(sink) as (port, process):
        alertmanager_posts(port, [f"active-{number}" for number in range(active)])
        time.sleep(2)
        before = sum(process.cpu_times()[:2])
        told = [_timed(sink, lambda word: alertmanager_posts(port, [word]), f"am-{active}-{n}") for n in range(ROUNDS)]
        cpu = (sum(process.cpu_times()[:2]) - before) / ROUNDS
        started = time.perf_counter()
        for number in range(INTAKE):
            alertmanager_posts(port, [f"active-more-{number}"])
        return Measured(told, cpu, intake=INTAKE / (time.perf_counter() - started))


def _timed(sink: Sink, send: Callable[[str], object], word: str) -> float:
    event = sink.expect(word)
    time.sleep(PAUSE)
    started = time.perf_counter()
    send(word)
    if not event.wait(DEADLINE):
        sys.exit(f"{word} did not arrive within {DEADLINE:g} s")
    return sink.arrived[word] - started


def book(sink: Sink) -> dict[str, Any]:
    """As many channels as rounds: else the sixth message in a minute would wait for a digest."""
    names = [f"hook{number}" for number in range(ROUNDS)]
    grades = {f"S{n}": {"escalation": [{"level": "L1", "notify": name}]} for n, name in enumerate(names)}
    return {
        "opsbook": 1, "system": "shop", "environments": {"production": {"policy": "open"}},
        "components": {"api": {"kind": "http", "url": "http://127.0.0.1:1"}},
        "severities": grades | {"quiet": {}}, "incidents": {"group_by": "check"},
        "channels": dict.fromkeys(names, sink.url),
    }  # fmt: skip


def ours(sink: Sink, active: int, store: str) -> Measured:
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as folder, served(book(sink), Path(folder), store) as one:
        run = f"{active}-{'pg' if store else 'file'}"
        for begin in range(0, active, 1000):
            some = range(begin, min(begin + 1000, active))
            one.hear([alert(f"active-{run}-{n}", severity="critical", incident_severity="quiet") for n in some])
        _calm(one)
        before = one.spent
        told = [_timed(sink, partial(_fault, one, n), f"ob-{run}-{n}.") for n in range(ROUNDS)]
        cpu = (one.spent - before) / ROUNDS
        acknowledged = [_acknowledged(one, f"ob-{run}-{n}.") for n in range(ROUNDS)]
        started = time.perf_counter()
        for number in range(INTAKE):
            one.hear([alert(f"more-{run}-{number}", severity="critical", incident_severity="quiet")])
        return Measured(told, cpu, acknowledged, INTAKE / (time.perf_counter() - started))


def _fault(one: Served, number: int, name: str) -> None:
    """A new alert that pages a channel of its own."""
    one.hear([alert(name, severity="critical", incident_severity=f"S{number}")])


def _calm(one: Served) -> None:
    """Wait until it has done what comes of the alerts that were there before."""
    deadline, quiet = time.monotonic() + 120, 0
    while quiet < 3 and time.monotonic() < deadline:
        before = one.spent
        time.sleep(1)
        quiet = quiet + 1 if one.spent - before < 0.1 else 0


def _acknowledged(one: Served, title: str) -> float:
    """As somebody does it over the API: found, checked, written with timeline and audit, signed outside the store."""
    known = one.ask("GET", "/api/v1/incidents?limit=100")["items"]
    id = next(found["id"] for found in known if found["title"] == title)
    started = time.perf_counter()
    one.ask("POST", f"/api/v1/incidents/{id}/ack")
    return time.perf_counter() - started


def p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def show(where: str, active: int, mine: Measured, peer: Measured) -> None:
    """The rows of one size."""
    label, name = f"{active:,} active alerts, {where}", "Alertmanager alone"
    for what, take in (("median", statistics.median), ("p99", p99)):
        tell(Figure(f"alert → page, {label}, {what}", take(mine.told) * 1e3, "ms", name, take(peer.told) * 1e3))
    tell(Figure(f"alert → page, {label}, processor", mine.cpu * 1e3, "ms", name, peer.cpu * 1e3))
    for what, take in (("median", statistics.median), ("p99", p99)):
        value = take(mine.acknowledged) * 1e3
        tell(Figure(f"acknowledge, {label}, {what}", value, "ms", aim="below 500 ms"))
    tell(Figure(f"webhooks of one alert, {label}", mine.intake, "a second", name, peer.intake))


def main() -> None:
    sink = Sink()
    with postgres() as address:
        for active in ACTIVE:
            peer = theirs(sink, active)
            show("SQLite", active, ours(sink, active, ""), peer)
            if address:
                with database(address, f"opsbook_{active}") as store:
                    show("PostgreSQL", active, ours(sink, active, store), peer)


@contextmanager
def database(address: str, name: str) -> Iterator[str]:
    """An empty database of a server."""
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield address.rpartition("/")[0] + f"/{name}"


if __name__ == "__main__":
    main()
