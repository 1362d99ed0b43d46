"""The API under wrk, alone and while the watch runs, against a bare FastAPI route that answers the same bytes.

Ours asks who asks (a token, its hash compared), reads the store and tags the answer; the bare route does nothing but
answer, in the same server with the same settings. The limits on requests are lifted, or they would be what is measured.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from figures import Figure, cost_of, tell

CHECKS, RUNS = 100, 50
SECONDS, CONNECTIONS = 5, 8
LIMIT = 1e9
OURS, BARE = 18391, 18392
BOOK = """
opsbook: 1
system: bench
environments: {production: {policy: open}}
components: {api: {kind: http, url: "http://127.0.0.1:%d", health: /same}}
checks:
%s
"""
LOOK = "---\ntitle: Look\nrisk: read\n---\n1. Look.\n   ```sh id=look risk=read\n   true\n   ```\n"
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Measured:
    """Milliseconds, requests a second, and milliseconds of the server's CPU a request."""

    p50: float
    p99: float
    rate: float
    cpu: float


def prepare(folder: Path) -> str:
    """A book with results and runs; the text of a token."""
    from opsbook.api.tokens import Bounds, make
    from opsbook.engine.service import Service, Wish
    from opsbook.store.history import Point, record

    checks = "\n".join(f"  - {{id: c{n}, observe: http.up, of: api, interval: 1s}}" for n in range(CHECKS))
    (folder / "book.yaml").write_text(BOOK % (BARE, checks))
    (folder / "procedures").mkdir()
    (folder / "procedures" / "look.md").write_text(LOOK)
    system, setting = opened(folder)
    now = setting.now()
    points = [Point(f"c{n}", now - age, "ok", 1.0, "up") for n in range(CHECKS) for age in range(0, 600, 10)]
    record(setting.store, "bench", "production", points, 1e9)
    service = Service(setting, system)
    plan = asyncio.run(service.plan(service.procedure("look")))
    for _ in range(RUNS):
        service.submit(plan, Wish(new=True))
    text, _ = make(setting, system.model.access, service.actor, "bench", Bounds(), timedelta(days=1))
    setting.close()
    return text


def opened(folder: Path) -> tuple[Any, Any]:
    from opsbook.book.load import load_book
    from opsbook.book.system import in_environment
    from opsbook.catalogue import catalogue
    from opsbook.engine.setting import open_setting

    system = in_environment(load_book(folder / "book.yaml", catalogue()))
    return system, open_setting(system)


async def ours(folder: Path, watching: bool) -> None:
    """The server as `opsbook serve` has it, with or without the watch beside it."""
    from opsbook.api.house import Limits
    from opsbook.api.server import serve_http
    from opsbook.watch.contract import Watch
    from opsbook.watch.loop import Loop
    from opsbook.watch.registry import parts

    system, setting = opened(folder)
    async with setting.connections(system) as connections:
        watch, stop = Watch(setting, system, connections), asyncio.Event()
        found = parts(watch) if watching else []
        loop = asyncio.create_task(Loop(watch, found).run(stop))
        await serve_http(watch, found, port=OURS, limits=Limits(address=(LIMIT, LIMIT), token=(LIMIT, LIMIT)))
        await loop


def bare(folder: Path) -> None:
    """A FastAPI route that answers the bytes of a file."""
    import uvicorn
    from fastapi import FastAPI
    from starlette.responses import Response

    app = FastAPI()
    body = (folder / "same.json").read_bytes()

    @app.get("/same")
    def same() -> Response:
        return Response(body, media_type="application/json")

    uvicorn.run(app, port=BARE, log_level="error", access_log=False, server_header=False, ws="none", lifespan="off")


@contextmanager
def server(*words: str, ready: str, token: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A server in a process of its own, ended afterwards."""
    process = subprocess.Popen([sys.executable, __file__, *words])
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None:
            if subprocess.run(["curl", "-sf", "-o", os.devnull, ready], check=False).returncode == 0:
                break
            time.sleep(0.2)
        yield process
    finally:
        process.terminate()
        process.wait(30)


def wrk(url: str, server: subprocess.Popen[bytes], token: str = "") -> Measured:
    """Median, 99th percentile, rate and cost of one address."""
    header = ["-H", f"Authorization: Bearer {token}"] if token else []
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", *header, url]
    said = ""

    def ask() -> None:
        nonlocal said
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    spent = cost_of(ask, server.pid).cpu
    if "Non-2xx" in said:
        sys.exit(f"{url} answers otherwise: {said}")

    def at(share: str) -> float:
        found = re.search(rf"{share}%\s+([\d.]+)(us|ms|s)\b", said)
        assert found, said
        return float(found[1]) * UNITS[found[2]]

    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    count = re.search(r"(\d+) requests in", said)
    assert rate and count, said
    return Measured(at("50"), at("99"), float(rate[1]), spent * 1000 / int(count[1]))


def show(what: str, one: Measured, peer: Measured) -> None:
    """Four rows of the table."""
    name = "bare FastAPI route, same bytes"
    tell(Figure(f"{what}, p50", one.p50, "ms", name, peer.p50))
    tell(Figure(f"{what}, p99", one.p99, "ms", name, peer.p99))
    tell(Figure(f"{what}, requests", one.rate, "a second", name, peer.rate))
    tell(Figure(f"{what}, CPU of one", one.cpu, "ms", name, peer.cpu))


def main() -> None:
    if shutil.which("wrk") is None:
        print("wrk is not installed: the API is not measured")
        return
    with tempfile.TemporaryDirectory(prefix="opsbook-api-") as place:
        folder = Path(place)
        token = prepare(folder)
        base = f"http://127.0.0.1:{OURS}"
        subjects = {"checks, 100 of them": "/api/v1/checks", "a page of 50 runs": "/api/v1/runs?limit=50"}
        for name, path in subjects.items():
            url, same = f"{base}{path}", f"http://127.0.0.1:{BARE}/same"
            with server("ours", place, "idle", ready=f"{base}/healthz") as idle:
                (folder / "same.json").write_bytes(answered(url, token))
                with server("bare", place, ready=same) as bare_one:
                    wrk(url, idle, token)
                    one, peer = wrk(url, idle, token), wrk(same, bare_one)
                    show(f"API: {name}, idle", one, peer)
            with (
                server("bare", place, ready=same),
                server("ours", place, "watching", ready=f"{base}/healthz") as busy,
            ):
                wrk(url, busy, token)
                show(f"API: {name}, {CHECKS} checks a second", wrk(url, busy, token), peer)


def answered(url: str, token: str) -> bytes:
    """What an address answers."""
    command = ["curl", "-sf", "-H", f"Authorization: Bearer {token}", url]
    return subprocess.run(command, capture_output=True, check=True).stdout


if __name__ == "__main__":
    if sys.argv[1:2] == ["ours"]:
        asyncio.run(ours(Path(sys.argv[2]), sys.argv[3] == "watching"))
    elif sys.argv[1:2] == ["bare"]:
        bare(Path(sys.argv[2]))
    else:
        main()
