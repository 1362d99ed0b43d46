"""Traffic switched by a map of a real HAProxy, whose process goes on: no connection is cut."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.executors import traffic
from opsbook.connectors.switches.haproxy import HaproxyMap, entries
from opsbook.errors import Refused, Unreachable
from tests.integration.asking import asked
from tests.integration.hands import Hands, hands_of
from tests.integration.servers import free_port, make_system, own_folder, until

HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not Path(HAPROXY).exists(), reason="haproxy is not installed"),
]

CONFIGURATION = """\
global
  stats socket {folder}/admin.sock mode 600 level admin
defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
frontend web
  bind 127.0.0.1:{port}
  use_backend %[str(api),map({folder}/api.map)]
backend api-blue
  server one 127.0.0.1:{blue}
backend api-green
  server one 127.0.0.1:{green}
"""


class Side(http.server.BaseHTTPRequestHandler):
    """Says which one it is."""

    name = ""
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.name)))
        self.end_headers()
        self.wfile.write(self.name.encode())

    def log_message(self, *_: object) -> None:
        pass


class Served:
    """HAProxy before two servers."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.servers = {}
        for name in ("blue", "green"):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type(name, (Side,), {"name": name}))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.servers[name] = server
            (folder / f"api.map.{name}").write_text(f"api api-{name}\n")
        shutil.copy(folder / "api.map.blue", folder / "api.map")
        ports = {name: server.server_address[1] for name, server in self.servers.items()}
        (folder / "haproxy.cfg").write_text(CONFIGURATION.format(folder=folder, port=self.port, **ports))
        self.process = subprocess.Popen([HAPROXY, "-db", "-f", str(folder / "haproxy.cfg")], stderr=subprocess.DEVNULL)
        until(lambda: self.who() == "blue", what="haproxy serves")

    def who(self) -> str:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/", timeout=5).text
        except httpx.HTTPError:
            return ""

    def hands(self, name: str = "") -> object:
        """Hands on a book of it; `name` is what the map is called there."""
        sides = {"blue": "api", "green": "api-green", "switch": str(self.folder / "api.map"), "proxy": "lb"}
        haproxy = {"socket": str(self.folder / "admin.sock"), **({"map": name} if name else {})}
        return hands_of(make_system(self.folder / "book", {
            "api": {"kind": "http", "url": f"http://127.0.0.1:{self.port}", "health": "/"},
            "lb": {"kind": "proxy", "url": f"http://127.0.0.1:{self.port}", "haproxy": haproxy},
        }, deploys={"components": {"api": sides}}))  # fmt: skip

    async def map(self) -> str:
        """As HAProxy has it now."""
        return await HaproxyMap(self.folder / "admin.sock", str(self.folder / "api.map"))._ask(
            f"show map {self.folder / 'api.map'}"
        )

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        for server in self.servers.values():
            server.shutdown()
            server.server_close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with own_folder("haproxy") as folder:
        one = Served(folder)
        try:
            yield one
        finally:
            one.stop()


async def test_it_switches_to_and_fro_under_load_without_a_lost_request(served: Served) -> None:
    hands: Hands
    async with served.hands() as hands:  # type: ignore[attr-defined]
        with asked(served.port, rate=200) as requests:
            for expected in ("green", "blue", "green"):
                change = await hands.only("traffic.switch", of="api")
                await hands.apply(change)
                assert served.who() == expected
            await hands.undo(change)
            assert served.who() == "blue"
        assert set(requests) == {"200"}, requests
        assert (served.folder / "api.map").read_text() == "api api-blue\n", "a restart reads the same"


async def test_what_cannot_be_switched_is_put_back_and_said(served: Served) -> None:
    hands: Hands
    async with served.hands("/no/such.map") as hands:  # type: ignore[attr-defined]
        change = await hands.only("traffic.switch", of="api")
        with pytest.raises(ChangeFailed, match="HAProxy: Unknown map identifier"):
            await hands.apply(change)
    assert (served.who(), (served.folder / "api.map").read_text()) == ("blue", "api api-blue\n")

    (served.folder / "api.map").write_text("api somewhere\n")
    async with served.hands() as hands:  # type: ignore[attr-defined]
        with pytest.raises(Refused, match=r"is neither api\.map\.blue nor api\.map\.green"):
            await hands.plan("traffic.switch", of="api")
        shutil.copy(served.folder / "api.map.blue", served.folder / "api.map")
        change = await hands.only("traffic.switch", of="api")
        (served.folder / "admin.sock").rename(served.folder / "away.sock")
        try:
            with pytest.raises(Unreachable, match="HAProxy's socket"):
                await hands.apply(change)
        finally:
            (served.folder / "away.sock").rename(served.folder / "admin.sock")
    assert (served.who(), (served.folder / "api.map").read_text()) == ("blue", "api api-blue\n")


async def test_one_that_was_cut_off_after_it_had_sent_it_to_a_bad_side_puts_it_back(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands: Hands
    monkeypatch.setattr(traffic, "SERVED_SECONDS", 1.0)
    green = served.servers["green"].RequestHandlerClass
    async with served.hands() as hands:  # type: ignore[attr-defined]
        change = await hands.only("traffic.switch", of="api")
        await hands.apply(change)
        monkeypatch.setattr(green, "status", 500)
        with pytest.raises(ChangeFailed, match="does not answer well"):
            await hands.apply(change)
    assert (served.who(), (served.folder / "api.map").read_text()) == ("blue", "api api-blue\n")


async def test_an_entry_that_only_one_side_has_goes_with_it(served: Served) -> None:
    hands: Hands
    for name, text in (("blue", "api api-blue\nold api-blue\n"), ("green", "api api-green\n")):
        (served.folder / f"api.map.{name}").write_text(text)
    shutil.copy(served.folder / "api.map.blue", served.folder / "api.map")
    async with served.hands() as hands:  # type: ignore[attr-defined]
        change = await hands.only("traffic.switch", of="api", to="blue")
        await hands.apply(change)
        assert "old" in entries(await served.map(), numbered=True)
        map = HaproxyMap(served.folder / "admin.sock", str(served.folder / "api.map"))
        await map._ask(f"add map {map.name} of-others api-blue")
        await hands.apply(await hands.only("traffic.switch", of="api", to="green"))
        assert entries(await served.map(), numbered=True) == {"api": "api-green", "of-others": "api-blue"}
