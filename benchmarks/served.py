"""A whole `opsbook serve` to be measured: in a process of its own, on a store of its own, with a token.

Run as a script it is that process. It differs from the verb in one thing: the limits on requests are lifted, or they
would be what is measured.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import yaml

LIMIT = 1e9
PATIENCE = 120.0
KEPT = 5.0
"""Seconds for which a connection that is not used is kept: the server ends it after a while."""


@dataclass
class Served:
    """A serving process and one kept connection to it."""

    port: int
    token: str
    process: psutil.Process
    _line: http.client.HTTPConnection | None = field(default=None, repr=False)
    _used: float = 0.0

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """One request; its answer. Exits where it is refused."""
        if self._line is None or time.monotonic() - self._used > KEPT:
            self._line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        self._used = time.monotonic()
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        self._line.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self._line.getresponse()
        said = answer.read()
        if answer.status >= 300:
            sys.exit(f"{method} {path}: {answer.status} {said[:300]!r}")
        found: dict[str, Any] = json.loads(said)
        return found

    def hear(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Alerts as Alertmanager's webhook tells them."""
        self.ask("POST", "/api/v1/alertmanager", webhook(alerts))

    @property
    def spent(self) -> float:
        """Seconds of processor time until now."""
        return float(sum(self.process.cpu_times()[:2]))


def webhook(alerts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A body of Alertmanager's webhook, version 4."""
    return {"version": "4", "status": "firing", "groupKey": "{}", "truncatedAlerts": 0, "alerts": list(alerts)}


def alert(name: str, **labels: str) -> dict[str, Any]:
    """One that fires."""
    return {
        "status": "firing", "fingerprint": name, "labels": {"alertname": name, **labels},
        "annotations": {"summary": name}, "startsAt": "2026-01-05T03:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://127.0.0.1/",
    }  # fmt: skip


@contextmanager
def served(book: Mapping[str, Any], folder: Path, store: str = "") -> Iterator[Served]:
    """`opsbook serve` of a book, ready to be asked. `store`: a PostgreSQL; a file beside the book where left out."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "book.yaml").write_text(yaml.safe_dump(dict(book)))
    variables = {**os.environ, **({"OPSBOOK_STORE": store} if store else {})}
    if not store:
        variables.pop("OPSBOOK_STORE", None)
    ready = folder / "ready.json"
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, __file__, str(folder)], env=variables, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        until = time.monotonic() + PATIENCE
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > until:
                sys.exit(f"it does not serve: {(folder / 'serve.log').read_text()[-800:]}")
            time.sleep(0.05)
        told = json.loads(ready.read_text())
        yield Served(told["port"], told["token"], psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(PATIENCE)


@contextmanager
def postgres() -> Iterator[str]:
    """The address of an empty PostgreSQL of our own, as it is set up for work; empty where none is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin")) if Path("/usr/lib/postgresql").exists() else []
    if not found:
        yield ""
        return
    folder = Path(tempfile.mkdtemp(prefix="opsbook-bench-pg-"))
    as_owner: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
        as_owner = ["runuser", "-u", "postgres", "--"]
    data, sockets = folder / "data", folder / "s"

    def call(*words: str) -> None:
        done = subprocess.run([*as_owner, *words], capture_output=True, text=True, cwd="/", check=False)
        if done.returncode:
            sys.exit(f"{words[0]}: {done.stderr[-500:]}")

    call(str(found[-1] / "initdb"), "-D", str(data), "-U", "opsbook", "-A", "trust", "--no-instructions")
    call("mkdir", str(sockets))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = f"-p {port} -k {sockets} -c listen_addresses=127.0.0.1"
    call(str(found[-1] / "pg_ctl"), "-D", str(data), "-w", "-o", settings, "-l", str(folder / "log"), "start")
    try:
        yield f"postgresql://opsbook@127.0.0.1:{port}/postgres"
    finally:
        call(str(found[-1] / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


async def _serve(folder: Path) -> None:
    from opsbook.api.house import Limits
    from opsbook.api.tokens import Bounds, make
    from opsbook.book.load import load_book
    from opsbook.book.system import in_environment
    from opsbook.catalogue import catalogue
    from opsbook.engine.service import Service
    from opsbook.engine.setting import open_setting
    from opsbook.watch.contract import Watch
    from opsbook.watch.serving import serve

    system = in_environment(load_book(folder / "book.yaml", catalogue()))
    setting = open_setting(system)
    owner = Service(setting, system).actor
    token, _ = make(setting, system.model.access, owner, "bench", Bounds(role="admin"), timedelta(days=1))

    def ready(port: int) -> None:
        text = json.dumps({"port": port, "token": token})
        (folder / "ready.new").write_text(text)
        (folder / "ready.new").rename(folder / "ready.json")

    limits = Limits(address=(LIMIT, LIMIT), token=(LIMIT, LIMIT))
    async with setting.connections(system) as connections:
        doors = {"port": 0, "ready": ready, "limits": limits}
        await serve(Watch(setting, system, connections), doors, lambda text: print(text, flush=True))
    setting.close()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
