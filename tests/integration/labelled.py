"""A shop in containers whose sides are told apart by a label, behind a proxy that looks for it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.integration.podman import Podman
from tests.integration.renec_book import OPSBOOK
from tests.integration.servers import free_port, until
from tests.integration.toy_server import UNTIL_ASKED

LABEL = "proxy.enable"
SERVE = (
    """\
import http.server, json, os, signal, sys, threading
version = os.environ["APP_VERSION"]
if version == "broken":
    raise SystemExit("no such table: orders")
level = os.environ.get("LEVEL", "")
if level == "unknown":
    raise SystemExit("there is no level unknown")
try:
    text = open("/conf/app.ini").read().strip()
except OSError:
    text = ""
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"items": [], "version": version, "level": level, "text": text}).encode()
        self.send_response(500 if "errors" in (version, level) and self.path == "/items" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
"""
    + UNTIL_ASKED
)
CONNECT = """python3 -S -c 'import socket; socket.create_connection(("127.0.0.1", 8000))' """
CHECK = {"test": CONNECT, "interval": "1s"}


class Labelled:
    """The engine, the proxy's ports, and the book of the shop."""

    def __init__(self, engine: Podman, services: Mapping[str, Any]) -> None:
        self.engine, self.folder, self.ops = engine, engine.folder, engine.folder / "ops"
        self.port, self.blue, self.green = free_port(), free_port(), free_port()
        engine.write(services)

    def book(self, **keys: Any) -> None:
        """Writes it; `keys` are laid over what the shop has."""
        url, runtime = f"http://127.0.0.1:{self.port}", {"kind": "compose", "file": str(self.engine.file),
                                                         "host": self.engine.address}  # fmt: skip
        sides = {"strategy": "blue-green", "blue": "api", "green": "api-green", "labels": {LABEL: "true"},
                 "blue_url": f"http://127.0.0.1:{self.blue}", "green_url": f"http://127.0.0.1:{self.green}",
                 "drain": "1s"}  # fmt: skip
        written = {
            "opsbook": 1, "system": "shop",
            "environments": {"test": {"policy": "open", "runtime": runtime, **keys.pop("environment", {})}},
            "components": {"api": {"kind": "http", "url": url, "workload": "api"}, **keys.pop("components", {})},
            "smoke_tests": [{"id": "list", "of": "api", "path": "/items", "contains": "items"}],
            "deploys": {"watch": "2s", "wait": "60s", "latency": "3s", "components": {"api": sides}},
            **keys,
        }  # fmt: skip
        self.ops.mkdir(exist_ok=True)
        (self.ops / "book.yaml").write_text(yaml.safe_dump(written))

    @contextmanager
    def proxy(self, attempts: int = 5) -> Iterator[None]:
        """The proxy as a process of its own."""
        entries = [(self.port, LABEL, "true"), (self.blue, "com.docker.compose.service", "api"),
                   (self.green, "com.docker.compose.service", "api-green")]  # fmt: skip
        settings = self.folder / "proxy.json"
        settings.write_text(json.dumps({
            "engine": self.engine.address, "project": self.engine.project, "to": 8000, "attempts": attempts,
            "entries": [{"port": port, "label": label, "value": value} for port, label, value in entries],
        }))  # fmt: skip
        program = Path(__file__).with_name("label_proxy.py")
        process = subprocess.Popen([sys.executable, str(program), str(settings)])
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)

    def start(self, *workloads: str) -> None:
        """Makes and starts them, each ready."""
        from tests.integration.hands import hands_of

        async def run() -> None:
            async with hands_of(self.engine.system({name: {"kind": "workload"} for name in workloads})) as hands:
                for name in workloads:
                    await hands.do("workload.start", of=name)

        asyncio.run(run())

    def argv(self, *words: str) -> list[str]:
        sure = [] if words[0] == "runs" else ["--yes"]
        return [str(OPSBOOK), *words, "--book", str(self.ops), *sure, "--format", "json"]

    def opsbook(self, *words: str) -> Any:
        done = subprocess.run(self.argv(*words), capture_output=True, text=True, timeout=300, check=False,
                              stdin=subprocess.DEVNULL, env=os.environ)  # fmt: skip
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def killed(self, *words: str, when: Any) -> None:
        """Begins it, and kills it as soon as `when` holds."""
        process = subprocess.Popen(self.argv(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   stdin=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
        try:
            deadline = time.monotonic() + 120
            while not when():
                assert process.poll() is None, "it ended before it could be killed"
                assert time.monotonic() < deadline
                time.sleep(0.02)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def items(self) -> dict[str, Any]:
        """What the shop answers; empty where it does not."""
        try:
            found: dict[str, Any] = httpx.get(f"http://127.0.0.1:{self.port}/items", timeout=5).json()
            return found
        except (httpx.HTTPError, ValueError):
            return {}

    def serves(self) -> None:
        """Waits until the proxy leads somewhere."""
        until(lambda: bool(self.items()), 60, "the proxy serves")

    def carrying(self, key: str = LABEL, value: str = "true") -> list[str]:
        """Services of which a container that runs has the label, once for each."""
        client = self.engine.client()
        try:
            found = client.containers(filters={"label": f"{key}={value}"})
        finally:
            client.close()
        return sorted(one["Labels"]["com.docker.compose.service"] for one in found)
