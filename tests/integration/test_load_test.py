"""A load test against a real server: bounded, counted, and ended by a check that turns critical."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from opsbook.checks import held
from opsbook.connectors.executors.load import Stopped
from opsbook.errors import Refused
from tests.integration.hands import hands_on

assert held, "what the engine hands down"
pytestmark = [pytest.mark.real, pytest.mark.skipif(shutil.which("hey") is None, reason="hey is not installed")]


class Site:
    """Answers, and counts; its health page says no after so many requests."""

    def __init__(self) -> None:
        self.asked, self.breaks_after, site = 0, 10**9, self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/":
                    site.asked += 1
                self.send_response(503 if self.path == "/health" and site.asked >= site.breaks_after else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)


@contextmanager
def a_site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.server.shutdown()
        site.server.server_close()


def book(site: Site, **environment: Any) -> dict[str, Any]:
    return {"environments": {"test": {"policy": "open", "disposable": True, **environment}},
            "checks": [{"id": "api-up", "observe": "http.up", "of": "api"}]}  # fmt: skip


def components(site: Site) -> dict[str, dict[str, Any]]:
    return {"api": {"kind": "http", "url": f"http://ann:word@127.0.0.1:{site.server.server_address[1]}"}}


async def test_it_sends_no_more_than_it_may_and_counts_what_came_back(tmp_path: Path) -> None:
    with a_site() as site:
        async with hands_on(tmp_path, components(site), **book(site)) as hands:
            change = await hands.only("load.test", of="api", path="/", rate=40, duration="2s", connections=4,
                                      checks=["api-up"], errors="1%")  # fmt: skip
            assert "word" not in str(change)
            told = await hands.apply(change)
    assert 0 < told["requests"] == site.asked <= 80 + 4
    assert (told["errors"], set(told["statuses"])) == (0, {"200"})
    assert 0 < told["p50"] <= told["p99"]


async def test_a_check_that_turns_critical_ends_it(tmp_path: Path) -> None:
    with a_site() as site:
        site.breaks_after = 20
        async with hands_on(tmp_path, components(site), **book(site)) as hands:
            change = await hands.only("load.test", of="api", path="/", rate=20, duration="10m", connections=2,
                                      checks=["api-up"], every="500ms")  # fmt: skip
            with pytest.raises(Stopped, match=r"stopped after .* api-up is critical"):
                await hands.apply(change)
            ended = site.asked
            with pytest.raises(Refused, match="nothing was sent"):
                await hands.apply(change)
        await asyncio.sleep(0.5)
        assert site.asked == ended < 2000, "nothing is sent any more"


async def test_it_is_refused_where_it_may_not_be(tmp_path: Path) -> None:
    with a_site() as site:
        async with hands_on(tmp_path / "a", components(site), **book(site, disposable=False)) as hands:
            with pytest.raises(Refused, match="not disposable"):
                await hands.only("load.test", of="api", checks=["api-up"])
        policy = {"policies": {"loaded": {"load_tests": True}}}
        async with hands_on(
            tmp_path / "b", components(site), **book(site, disposable=False, policy="loaded"), **policy
        ) as hands:
            assert (await hands.only("load.test", of="api", checks=["api-up"])).kind == "load"
            with pytest.raises(Refused, match="no check named other"):
                await hands.only("load.test", of="api", checks=["other"])
