"""Deploys of containers behind an nginx that runs in one, too: switched under load, back by itself, migrated beside."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from opsbook.connectors.registry import open_connections
from opsbook.connectors.runtimes.once import Once, Ran, run_once
from opsbook.errors import Refused
from tests.integration.asking import asked
from tests.integration.hands import Out
from tests.integration.podman import Podman, lacking, new_podman, python
from tests.integration.renec_book import OPSBOOK
from tests.integration.servers import free_port, until
from tests.integration.toy_server import UNTIL_ASKED

pytestmark = [
    pytest.mark.real,
    pytest.mark.xdist_group("compose"),
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
    pytest.mark.skipif(not shutil.which("nginx") and not Path("/usr/sbin/nginx").exists(), reason="needs nginx"),
    pytest.mark.timeout(400),
]

SERVE = (
    """\
import http.server, json, os, signal, sys, threading
version = os.environ["APP_VERSION"]
if version == "broken":
    raise SystemExit("no such table: orders")
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"items": [], "version": version}).encode()
        self.send_response(500 if version == "errors" and self.path == "/items" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
"""
    + UNTIL_ASKED
)
NGINX = """\
daemon off;
user root;
pid /tmp/nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
  upstream api { include /conf/side.conf; }
  server {
    listen 80;
    location / { proxy_pass http://api; proxy_connect_timeout 2s; }
  }
}
"""
CONNECT = """python3 -S -c 'import socket; socket.create_connection(("127.0.0.1", 8000))' """
HOST = [f"{place}:{place}:ro" for place in ("/usr", "/etc/passwd", "/etc/group")]
CONF = ["-c", "/conf/nginx.conf"]


class Shop:
    """A project of two sides and a proxy, and its book."""

    def __init__(self, engine: Podman) -> None:
        self.engine, self.folder = engine, engine.folder
        self.ops = self.folder / "ops"
        self.port, self.blue, self.green = free_port(), free_port(), free_port()
        conf = self.folder / "conf"
        conf.mkdir()
        (conf / "nginx.conf").write_text(NGINX)
        for side, name in (("blue", "api"), ("green", "api-green")):
            (conf / f"side.conf.{side}").write_text(f"server {name}:8000;\n")
        shutil.copy(conf / "side.conf.blue", conf / "side.conf")
        check = {"test": CONNECT, "interval": "1s"}
        engine.write({
            "api": python(SERVE, ports=[f"127.0.0.1:{self.blue}:8000"], healthcheck=check),
            "api-green": python(SERVE, ports=[f"127.0.0.1:{self.green}:8000"], healthcheck=check),
            "proxy": {"image": "localhost/base:1", "command": ["nginx", *CONF], "stop_grace_period": "2s",
                      "volumes": [*HOST, f"{conf}:/conf:ro"], "ports": [f"127.0.0.1:{self.port}:80"]},
        })  # fmt: skip
        sides = {"strategy": "blue-green", "blue": "api", "green": "api-green", "switch": str(conf / "side.conf"),
                 "proxy": "proxy", "blue_url": f"http://127.0.0.1:{self.blue}",
                 "green_url": f"http://127.0.0.1:{self.green}"}  # fmt: skip
        self.write(sides)

    def write(self, sides: dict[str, Any]) -> None:
        url = f"http://127.0.0.1:{self.port}"
        reload = {"check": ["nginx", *CONF, "-t", "-q"], "command": ["nginx", *CONF, "-s", "reload"]}
        runtime = {"kind": "compose", "file": str(self.engine.file), "host": self.engine.address}
        self.ops.mkdir(exist_ok=True)
        (self.ops / "book.yaml").write_text(yaml.safe_dump({
            "opsbook": 1, "system": "shop", "environments": {"test": {"policy": "open", "runtime": runtime}},
            "components": {"api": {"kind": "http", "url": url, "workload": "api"},
                           "proxy": {"kind": "proxy", "url": url, "health": "/health", "workload": "proxy",
                                     "reload": reload}},
            "smoke_tests": [{"id": "list", "of": "api", "path": "/items", "contains": "items"}],
            "deploys": {"watch": "3s", "wait": "60s", "latency": "2s", "components": {"api": sides}},
        }))  # fmt: skip

    def opsbook(self, *words: str) -> dict[str, Any]:
        argv = [str(OPSBOOK), *words, "--book", str(self.ops), "--yes", "--format", "json"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, check=False,
                              env=os.environ)  # fmt: skip
        assert done.stdout, done.stderr
        view: dict[str, Any] = json.loads(done.stdout)
        return view

    def version(self) -> str:
        try:
            return str(httpx.get(f"http://127.0.0.1:{self.port}/items", timeout=5).json()["version"])
        except (httpx.HTTPError, ValueError):
            return ""

    def side(self) -> str:
        now = (self.folder / "conf" / "side.conf").read_text()
        return "green" if "api-green" in now else "blue"


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with new_podman("1", "2", "broken", "errors") as engine:
        one = Shop(engine)

        async def start() -> None:
            from tests.integration.hands import hands_of

            async with hands_of(engine.system({name: {"kind": "workload"} for name in ("api", "proxy")})) as hands:
                for name in ("api", "proxy"):
                    await hands.do("workload.start", of=name)

        asyncio.run(start())
        until(lambda: one.version() == "1", 60, "the proxy serves")
        yield one


def test_sides_are_switched_by_the_file_of_a_proxy_in_a_container(shop: Shop) -> None:
    with asked(shop.port, rate=50) as requests:
        view = shop.opsbook("deploy", "api", "2")
        assert view["state"] == "done", view["message"]
        assert (shop.version(), shop.side()) == ("2", "green")
        view = shop.opsbook("deploy", "api", "broken")
        assert view["state"] == "undone", view["message"]
        assert (shop.version(), shop.side()) == ("2", "green")
    assert set(requests) == {"200"}, requests
    view = shop.opsbook("deploy", "api", "errors")
    assert view["state"] == "undone", view["message"]
    assert (shop.version(), shop.side()) == ("2", "green")


def test_a_configuration_that_the_proxy_refuses_is_put_back(shop: Shop) -> None:
    before, version = shop.side(), shop.version()
    bad = shop.folder / "conf" / f"side.conf.{'green' if before == 'blue' else 'blue'}"
    text = bad.read_text()
    bad.write_text("server nowhere.invalid:8000;\n")
    try:
        with asked(shop.port, rate=20) as requests:
            view = shop.opsbook("deploy", "api", "1" if version == "2" else "2")
    finally:
        bad.write_text(text)
    assert view["state"] == "undone", view["message"]
    assert "host not found in upstream" in view["message"]
    assert (shop.version(), shop.side()) == (version, before)
    assert set(requests) == {"200"}, requests


async def test_a_command_of_a_version_runs_once_in_a_container_of_its_own(shop: Shop) -> None:
    show = "import os, time; time.sleep(2); print(os.environ['APP_VERSION'], os.environ['PGOPTIONS'])"

    def once(key: str, argv: str = show) -> Once:
        return Once("migrates", key, "api", "2", ("python3", "-S", "-c", argv), 60, {"PGOPTIONS": "-c lock_timeout=5"})

    async with open_connections(shop.engine.system({"api": {"kind": "workload"}})) as connections:
        runtime = connections.runtime
        first = asyncio.ensure_future(run_once(runtime, once("a"), Out()))
        await asyncio.sleep(0.8)
        with pytest.raises(Refused, match="under way already"):
            await run_once(runtime, once("b"), Out())
        assert await first == Ran(0, "2 -c lock_timeout=5\n")
        failed = await run_once(runtime, once("b", "raise SystemExit('no such table')"), Out())
        assert failed == Ran(1, "no such table\n")
        left = await connections.runtime.api.call("containers", all=True)  # type: ignore[attr-defined]
        assert not [one for one in left if "migrates" in str(one["Names"])]
