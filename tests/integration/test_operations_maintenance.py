"""Maintenance by a real nginx: users meet a banner, and get in again, also where things go wrong."""

from __future__ import annotations

import asyncio
import http.client
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from opsbook.connectors.change import Change, ChangeFailed
from opsbook.errors import Refused
from tests.integration.hands import Hands, hands_on
from tests.integration.servers import free_port, own_folder, until

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
pytestmark = [pytest.mark.real, pytest.mark.skipif(not Path(NGINX).exists(), reason="not installed: nginx")]

CONFIG = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    {include}
    location / {{ return 200 "open"; }}
  }}
}}
"""


@dataclass
class Nginx:
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def configure(self, include: str = "include maintenance.conf;") -> None:
        text = CONFIG.format(folder=self.folder, port=self.port, include=include)
        (self.folder / "nginx.conf").write_text(text)

    def get(self, path: str = "/") -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request("GET", path)
        answer = connection.getresponse()
        found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
        connection.close()
        return found

    def answers(self) -> bool:
        try:
            return self.get()[0] > 0
        except OSError:
            return False

    @property
    def component(self) -> dict[str, Any]:
        switch = {
            "include": str(self.folder / "maintenance.conf"),
            "pid_file": str(self.folder / "nginx.pid"),
            "check": [NGINX, "-t", "-q", "-c", str(self.folder / "nginx.conf")],
            "retry_after": "5m",
        }
        return {"kind": "proxy", "url": f"http://127.0.0.1:{self.port}", "maintenance": switch}


@pytest.fixture
def nginx() -> Iterator[Nginx]:
    with own_folder("nginx") as folder:
        server = Nginx(folder, free_port())
        (folder / "maintenance.conf").write_text("# empty\n")
        folder.chmod(0o755)
        server.configure()
        server.process = subprocess.Popen([NGINX, "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL)
        try:
            until(server.answers, what="nginx answers")
            yield server
        finally:
            server.process.terminate()
            server.process.wait(10)


@pytest.fixture
async def hands(nginx: Nginx, tmp_path: Path) -> AsyncIterator[Hands]:
    components = {"proxy": nginx.component, "bare": {"kind": "proxy", "url": "http://127.0.0.1:1"}}
    async with hands_on(tmp_path, components) as one:
        yield one


async def test_users_meet_a_banner_and_get_in_again(hands: Hands, nginx: Nginx) -> None:
    message = """Back at 5 o'clock; costs "$5" & <nothing> \\ {really} ñ"""
    change = await hands.only("maintenance.enter", of="proxy", message=message, title="Wartung")
    assert nginx.get()[0] == 200, "planning changes nothing"
    assert await hands.apply(change) == {"served": 503, "maintenance": True}
    status, headers, page = nginx.get("/api/anything")
    assert (status, headers["retry-after"]) == (503, "300")
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert message in unescape(page)
    assert "<nothing>" not in page
    leave = await hands.only("maintenance.leave", of="proxy")
    assert await hands.apply(leave) == {"served": 200, "maintenance": False}
    assert (nginx.get()[0], nginx.get()[2]) == (200, "open")
    assert (nginx.folder / "maintenance.conf").read_text() == "# empty\n"
    await hands.undo(leave)
    assert nginx.get()[0] == 503
    await hands.undo(change)
    assert nginx.get()[0] == 200


async def test_done_twice_it_is_done_once(hands: Hands, nginx: Nginx) -> None:
    change = await hands.only("maintenance.enter", of="proxy", message="one")
    await hands.apply(change)
    await hands.apply(change)
    second = await hands.only("maintenance.enter", of="proxy", message="two")
    await hands.apply(second)
    assert "two" in nginx.get()[2]
    await hands.undo(second)
    assert "one" in nginx.get()[2]
    await hands.do("maintenance.leave", of="proxy")
    result = await hands.do("maintenance.leave", of="proxy")
    assert result == {"served": 200, "maintenance": False}
    assert (nginx.folder / "maintenance.conf").read_text() == "# empty\n"


async def test_leave_planned_before_enter_has_the_same_effect_after_it(hands: Hands) -> None:
    before = await hands.only("maintenance.leave", of="proxy")
    await hands.do("maintenance.enter", of="proxy", message="x")
    after = await hands.only("maintenance.leave", of="proxy")
    assert before.effect == after.effect
    assert isinstance(before.inverse, str)
    assert isinstance(after.inverse, Change)
    await hands.apply(before)


async def test_an_invalid_configuration_is_never_loaded(hands: Hands, nginx: Nginx) -> None:
    change = await hands.only("maintenance.enter", of="proxy", message="x")
    (nginx.folder / "nginx.conf").write_text("nonsense;")
    with pytest.raises(ChangeFailed, match="invalid"):
        await hands.apply(change)
    assert (nginx.folder / "maintenance.conf").read_text() == "# empty\n"
    assert nginx.get()[0] == 200


async def test_a_file_that_nginx_does_not_include_is_found(
    hands: Hands, nginx: Nginx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opsbook.connectors.executors.maintenance.SERVED_SECONDS", 1.0)
    nginx.configure("")
    with pytest.raises(ChangeFailed, match=r"does not serve its banner.*200"):
        await hands.do("maintenance.enter", of="proxy", message="x")
    assert (nginx.folder / "maintenance.conf").read_text() == "# empty\n"


async def test_it_refuses_a_proxy_without_a_switch_and_a_banner_that_is_too_long(hands: Hands) -> None:
    with pytest.raises(Refused, match="cannot be put in maintenance"):
        await hands.plan("maintenance.enter", of="bare", message="x")
    with pytest.raises(Refused, match="more than nginx reads"):
        await hands.plan("maintenance.enter", of="proxy", message="x" * 5000)


async def test_no_other_process_is_told_to_reload(hands: Hands, nginx: Nginx) -> None:
    """A pid file that was left behind may name anybody."""
    stranger = await asyncio.to_thread(subprocess.Popen, ["sleep", "60"])
    try:
        (nginx.folder / "nginx.pid").write_text(f"{stranger.pid}\n")
        with pytest.raises(ChangeFailed, match="is no nginx"):
            await hands.do("maintenance.enter", of="proxy", message="x")
        assert stranger.poll() is None
        assert (nginx.folder / "maintenance.conf").read_text() == "# empty\n"
    finally:
        stranger.kill()
        stranger.wait(5)
