"""A real `opsbook serve` on a small book: a site that can be switched off, and a sink that counts what it is told."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import yaml

from tests.integration.servers import until

OPSBOOK = Path(sys.executable).with_name("opsbook")
PATIENCE = 60.0


class Web:
    """Answers GETs of `/` as it is told to, and keeps the bodies of POSTs and the paths of other GETs."""

    def __init__(self) -> None:
        self.up = True
        self.bodies: list[dict[str, Any]] = []
        self.pings = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.pings += self.path == "/ping"
                self.send_response(200 if outer.up or self.path == "/ping" else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.bodies.append(json.loads(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server: socketserver.BaseServer = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.server.shutdown()
        self._thread.join(10)
        self.server.server_close()


@contextmanager
def a_web() -> Iterator[Web]:
    web = Web()
    try:
        yield web
    finally:
        web.stop()


def write_book(folder: Path, web: Web, **keys: Any) -> Path:
    """A book that checks the site every second, and tells the sink when it is down."""
    folder.mkdir(exist_ok=True)
    (folder / "procedures").mkdir(exist_ok=True)
    (folder / "procedures" / "look.md").write_text(
        "---\ntitle: Look\nrisk: safe\n---\n\n1. Look.\n\n   ```sh risk=safe idempotent\n   echo seen\n   ```\n"
    )
    book = {
        "opsbook": 1,
        "system": "small",
        "environments": {"production": {"policy": "open", "disposable": True}},
        "components": {"site": {"kind": "http", "url": web.url, "health": "/"}},
        "checks": [{"id": "site-up", "observe": "http.up", "of": "site", "severity": "P1", "interval": "1s"}],
        "severities": {"P1": {"means": "it is down", "respond": "5m"}},
        "incidents": {"resolve_after": "1s"},
        "channels": {"sink": {"url": f"json://127.0.0.1:{web.port}/sink"}},
        "escalation": [{"level": "L1", "notify": "sink"}],
        **keys,
    }
    (folder / "book.yaml").write_text(yaml.safe_dump(book))
    return folder


class Serving:
    """One `opsbook serve`."""

    def __init__(self, book: Path, *arguments: str, **variables: str) -> None:
        self.book, self.log = book, book.parent / f"serve-{os.urandom(3).hex()}.log"
        self.variables = variables
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [str(OPSBOOK), "serve", "--book", str(book), *(arguments or ("--no-http",))],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, **variables}, cwd=book,
            )  # fmt: skip

    def said(self) -> str:
        return self.log.read_text()

    def watching(self) -> Serving:
        until(lambda: "watches" in self.said() or self.process.poll() is not None, PATIENCE, "it watches")
        assert self.process.poll() is None, self.said()
        return self

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(20)

    def end(self) -> int:
        """As an init system ends it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(2 * PATIENCE)


def opsbook(book: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(OPSBOOK), *arguments, "--book", str(book)], capture_output=True, text=True, timeout=120,
        stdin=subprocess.DEVNULL, env={**os.environ, **variables}, cwd=book,
    )  # fmt: skip


def asked(store: Path | str, query: str) -> list[Any]:
    """The rows of a question to the store, a file or an address."""
    if isinstance(store, str):
        with psycopg.connect(store) as connection:
            return connection.execute(query).fetchall()
    with sqlite3.connect(store, timeout=20) as file:
        return file.execute(query).fetchall()
