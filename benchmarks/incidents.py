"""Alert in → notification out, against Alertmanager alone on this machine, with 1, 1,000 and 10,000 active alerts.

Both get a new alert over their own door (ours: the transaction that decides, as the watch calls it; Alertmanager: its
HTTP API with `group_wait: 0s`), and tell the same webhook. Also: what a person waits for when the status of an incident
is changed while 10,000 alerts are active.
"""

from __future__ import annotations

import asyncio
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
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from figures import Figure, tell

from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.checks.evaluate import State
from opsbook.engine.access import local_actor
from opsbook.engine.setting import open_setting
from opsbook.store.database import reading
from opsbook.watch import incident_acts as acts
from opsbook.watch.alerts import take_in
from opsbook.watch.contract import Signal, Watch
from opsbook.watch.delivery import Delivery
from opsbook.watch.incidents import respond
from opsbook.watch.loop import Loop
from opsbook.watch.pursuit import Pursuit

ACTIVE = (1, 1_000, 10_000)
ROUNDS = 15
DEADLINE = 20.0


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
def alertmanager(sink: Sink) -> Iterator[int]:
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
            yield port
        finally:
            process.terminate()
            process.wait(10)


def theirs(sink: Sink, active: int) -> list[float]:
    with alertmanager(sink) as port:
        alertmanager_posts(port, [f"active-{number}" for number in range(active)])
        time.sleep(2)
        return [_timed(sink, lambda word: alertmanager_posts(port, [word]), f"am-{active}-{n}") for n in range(ROUNDS)]


def _timed(sink: Sink, send: Any, word: str) -> float:
    event = sink.expect(word)
    started = time.perf_counter()
    send(word)
    if not event.wait(DEADLINE):
        sys.exit(f"{word} did not arrive within {DEADLINE:g} s")
    return sink.arrived[word] - started


class Ours:
    """A watch with its loop, on a store of its own, in a thread of its own."""

    def __init__(self, folder: Path, sink: Sink, channels: int) -> None:
        names = [f"hook{number}" for number in range(channels)]
        book = {
            "opsbook": 1, "system": "shop", "environments": {"production": {"policy": "open"}},
            "components": {"api": {"kind": "http", "url": "http://127.0.0.1:1"}},
            "severities": {f"S{number}": {"escalation": [{"level": "L1", "notify": name}]}
                           for number, name in enumerate(names)} | {"quiet": {}},
            "incidents": {"group_by": "check"},
            "channels": dict.fromkeys(names, sink.url),
        }  # fmt: skip
        (folder / "book.yaml").write_text(yaml.safe_dump(book))
        self.system = in_environment(load_book(folder / "book.yaml", catalogue()))
        self.setting = open_setting(self.system)
        self.watch = Watch(self.setting, self.system, None)  # type: ignore[arg-type]
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        self._ready.wait(10)

    async def _run(self) -> None:
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await Loop(self.watch, [Pursuit(self.watch), Delivery(self.watch)]).run(self.stop)

    def hear(self, names: list[str], severity: str, title: str) -> None:
        """Signals, decided in the writer's thread as the watch does."""
        now = self.setting.clock.now()
        bad = State.CRITICAL
        signals = [Signal(f"am:{name}", "alertmanager", now, bad, title, "bad", severity=severity) for name in names]

        async def write() -> None:
            take = [lambda connection: take_in(connection, self.system, signals, now, respond)]
            await self.setting.in_writer(lambda: self.setting.write(take))

        asyncio.run_coroutine_threadsafe(write(), self.loop).result(120)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.stop.set)
        self._thread.join(20)
        self.setting.close()


def ours(sink: Sink, active: int) -> tuple[list[float], list[float]]:
    """Seconds from alert to webhook, and seconds of an acknowledgement."""
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as folder:
        # As many channels as rounds: else the fifth message in a minute would wait for a digest.
        watch = Ours(Path(folder), sink, ROUNDS)
        try:
            names = [f"active-{number}" for number in range(active)]
            for begin in range(0, active, 1000):
                watch.hear(names[begin : begin + 1000], "quiet", "active")
            time.sleep(2)
            told = [
                _timed(sink, lambda word, n=n: watch.hear([word], f"S{n}", word), f"ob-{active}-{n}")
                for n in range(ROUNDS)
            ]
            return told, [_acknowledged(watch, f"ob-{active}-{n}") for n in range(ROUNDS)]
        finally:
            watch.close()


def _acknowledged(watch: Ours, title: str) -> float:
    """One act as a face does it: found, checked, written with timeline and audit, signed outside the store."""
    setting, system, actor = watch.setting, watch.system, local_actor()
    with reading(setting.store) as connection:
        from opsbook.store.incidents import newest

        found = newest(connection, watch.watch.where, limit=20_000)
        one = next(one for one in found if one.title == title)
    started = time.perf_counter()
    setting.check_audit()
    setting.write(
        [
            lambda connection: acts.acknowledge(
                connection, system, acts.find(connection, system, one.id), actor, setting.clock.now()
            )
        ]
    )
    setting.write_head()
    return time.perf_counter() - started


def p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def main() -> None:
    sink = Sink()
    for active in ACTIVE:
        mine, acknowledged = ours(sink, active)
        peer = theirs(sink, active)
        label = f"{active:,} active alerts"
        for name, take in (("median", statistics.median), ("p99", p99)):
            what = f"alert → notification, {label}, {name}"
            tell(Figure(what, take(mine) * 1e3, "ms", "Alertmanager alone", take(peer) * 1e3))
        tell(Figure(f"acknowledge, {label}, median", statistics.median(acknowledged) * 1e3, "ms", aim="below 500 ms"))
        tell(Figure(f"acknowledge, {label}, p99", p99(acknowledged) * 1e3, "ms", aim="below 500 ms"))


if __name__ == "__main__":
    main()
