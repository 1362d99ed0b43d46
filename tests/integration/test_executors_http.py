"""Requests to a real server on loopback: what was sent, what was answered, and what is not known."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from opsbook.book.system import System
from opsbook.connectors.change import Change
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.executors.http import BadStatus
from opsbook.connectors.executors.secrets import NotReached
from opsbook.errors import Ambiguous
from tests.integration.executing import Output, apply
from tests.integration.servers import free_port, make_system, silent_server


@dataclass
class Web:
    """A server that remembers requests; a path says how it answers."""

    port: int = 0
    seen: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def web() -> Iterator[Web]:
    found = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            found.seen.append({"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body})
            if self.path == "/hang-up":
                self.connection.close()
                return
            status = int(self.path[1:4]) if self.path[1:4].isdigit() else 200
            answer = b"x" * 3_000_000 if self.path == "/large" else json.dumps({"path": self.path}).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_PUT = do_DELETE = do_PATCH = do_GET  # noqa: N815  names of the library

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def system(web: Web, tmp_path: Path) -> System:
    api = {"kind": "http", "url": f"http://127.0.0.1:{web.port}", "headers": {"X-Own": "${OPSBOOK_TEST_OWN:-own}"}}
    return make_system(tmp_path, {"api": api})


def http(method: str, url: str, **effect: Any) -> Change:
    return Change("http", {"component": "api", "method": method, "url": url, "headers": {}, "body": "", **effect})


async def test_it_sends_and_tells_the_answer(system: System, web: Web) -> None:
    out = Output()
    change = http("POST", "/things", headers={"Content-Type": "application/json"}, body='{"a": 1}')
    result = await apply(system, change, out=out)
    assert (result["status"], result["json"]) == (200, {"path": "/things"})
    (seen,) = web.seen
    assert (seen["method"], seen["body"]) == ("POST", b'{"a": 1}')
    assert seen["headers"]["X-Own"] == "own" and seen["headers"]["Content-Type"] == "application/json"
    assert len(seen["headers"]["Idempotency-Key"]) == 40
    assert "POST http://127.0.0.1" in out.text


async def test_the_same_change_has_the_same_key_for_the_server(system: System, web: Web) -> None:
    for key in ("run/a/0", "run/a/0", "run/b/0"):
        await apply(system, http("POST", "/x"), key)
    one, again, other = (seen["headers"]["Idempotency-Key"] for seen in web.seen)
    assert one == again != other
    await apply(system, http("GET", "/x"))
    assert "Idempotency-Key" not in web.seen[-1]["headers"]


async def test_secrets_are_sent_and_never_told(system: System, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPSBOOK_TEST_TOKEN", 'hunter2"/hunter2')
    part = {"secret": "${OPSBOOK_TEST_TOKEN}"}
    change = http(
        "POST", ["/a/", {**part, "as": "url"}], headers={"Authorization": ["Bearer ", {**part, "as": "header"}]},
        body=['{"t": "', {**part, "as": "json-text"}, '"}'],
    )  # fmt: skip
    out = Output()
    await apply(system, change, out=out)
    (seen,) = web.seen
    assert seen["headers"]["Authorization"] == 'Bearer hunter2"/hunter2'
    assert json.loads(seen["body"]) == {"t": 'hunter2"/hunter2'}
    assert seen["path"] == "/a/hunter2%22%2Fhunter2"
    with pytest.raises(BadStatus) as caught:
        await apply(system, http("POST", "/404", headers=change.effect["headers"]))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("method", "path", "error"), [
    ("GET", "/404", ReadFailed), ("GET", "/500", ReadFailed), ("POST", "/404", BadStatus), ("POST", "/409", BadStatus),
    ("POST", "/500", Ambiguous), ("POST", "/hang-up", Ambiguous), ("GET", "/hang-up", ReadFailed),
])  # fmt: skip
async def test_it_tells_refused_from_unknown(system: System, method: str, path: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await apply(system, http(method, path))


async def test_whoever_asked_may_judge_the_status(system: System) -> None:
    assert (await apply(system, http("GET", "/404", ok="any")))["status"] == 404


async def test_a_redirect_is_an_answer(system: System, web: Web) -> None:
    for method in ("GET", "POST"):
        result = await apply(system, http(method, "/302"))
        assert (result["status"], result["headers"]["location"]) == (302, "/elsewhere")
    assert [seen["path"] for seen in web.seen] == ["/302", "/302"]


async def test_a_large_answer_is_cut(system: System) -> None:
    result = await apply(system, http("GET", "/large"))
    assert len(result["body"]) == 64 * 1024 and "json" not in result


async def test_nothing_of_a_sensitive_answer_is_kept(system: System) -> None:
    result = await apply(system, http("GET", "/x", sensitive=True))
    assert set(result) == {"status", "seconds"}


async def test_it_says_when_there_is_no_server(tmp_path: Path) -> None:
    system = make_system(tmp_path, {"api": {"kind": "http", "url": f"http://127.0.0.1:{free_port()}"}})
    with pytest.raises(NotReached):
        await apply(system, http("POST", "/x"))


async def test_a_server_that_never_answers_leaves_a_change_unknown(tmp_path: Path) -> None:
    with silent_server() as port:
        system = make_system(tmp_path, {"api": {"kind": "http", "url": f"http://127.0.0.1:{port}"}})
        with pytest.raises(Ambiguous, match="may have taken it"):
            await apply(system, http("POST", "/x", timeout=0.5))
        with pytest.raises(ReadFailed):
            await apply(system, http("GET", "/x", timeout=0.5))
