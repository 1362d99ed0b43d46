"""`opsbook serve` over a real socket: runs, streams, an identity provider, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from opsbook.api.tokens import Bounds, make
from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.engine.access import local_actor
from opsbook.engine.setting import open_setting

OPSBOOK = Path(sys.executable).with_name("opsbook")
DEADLINE = 60.0
BOOK = """
opsbook: 1
system: kiln
environments: {production: {policy: two}}
policies: {two: {disruptive: {approvals: 1}}}
components: {api: {kind: http, url: "http://127.0.0.1:1"}}
checks: [{id: api-up, observe: http.up, of: api, interval: 1s}]
access:
  viewer: [vera]
  operator: [ann, ben, "group:sre"]
  admin: [USER]
  oidc: {issuer: "ISSUER", client_id: opsbook}
"""
STEPS = """---
title: Three steps
risk: disruptive
---
1. First.
   ```sh id=first risk=disruptive
   echo one
   ```
2. Second.
   ```sh id=second risk=disruptive
   echo two
   ```
"""
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})


class Provider(BaseHTTPRequestHandler):
    """An identity provider: its discovery document and its keys."""

    def do_GET(self) -> None:
        issuer = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
        told: Any = {"keys": [KEY.as_dict(private=False)]}
        if self.path == "/.well-known/openid-configuration":
            told = {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Served:
    """A process that serves a book."""

    folder: Path
    process: subprocess.Popen[str]
    url: str
    issuer: str

    def client(self, token: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=DEADLINE)

    def of(self, owner: str, role: str = "operator") -> httpx.Client:
        """Somebody with a token."""
        system = in_environment(load_book(self.folder / "book.yaml", catalogue()))
        setting, actor = open_setting(system), local_actor()
        try:
            text, _ = make(setting, system.model.access, actor, "t", Bounds(role), timedelta(days=1), owner)
        finally:
            setting.close()
        return self.client(text)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)


def serve(folder: Path, issuer: str) -> Served:
    """Start it on a free port, and wait until it says which."""
    log = folder / "serve.log"
    env = {name: value for name, value in os.environ.items() if name != "OPSBOOK_STORE"}
    with log.open("w") as file:
        process = subprocess.Popen([str(OPSBOOK), "serve", "--port", "0"], cwd=folder, env=env, stderr=file, text=True)
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until and process.poll() is None:
        if said := re.search(r"serves (http://127\.0\.0\.1:\d+)", log.read_text()):
            return Served(folder, process, said[1], issuer)
        time.sleep(0.05)
    process.kill()
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    import pwd

    folder = tmp_path_factory.mktemp("served")
    provider = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    issuer = f"http://127.0.0.1:{provider.server_port}"
    user = pwd.getpwuid(os.getuid()).pw_name
    (folder / "book.yaml").write_text(BOOK.replace("ISSUER", issuer).replace("USER", user))
    (folder / "procedures").mkdir()
    (folder / "procedures" / "steps.md").write_text(STEPS)
    found = serve(folder, issuer)
    try:
        yield found
    finally:
        if found.process.poll() is None:
            found.end()
        provider.shutdown()


def events(response: httpx.Response) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, id and data of each event of a stream."""
    name = id = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("id: "):
            id = line[4:]
        elif line.startswith("data: "):
            yield name, id, json.loads(line[6:])


def test_a_run_is_asked_for_approved_by_another_and_followed_to_its_end(served: Served) -> None:
    ann, ben, vera = served.of("ann"), served.of("ben"), served.of("vera", "viewer")
    plan = ann.post("/api/v1/procedures/steps/plan", json={}).json()
    asked = ann.post("/api/v1/runs", json={"procedure": "steps", "digest": plan["digest"]})
    assert asked.status_code == 202, asked.text
    run = asked.json()["id"]
    until = time.monotonic() + DEADLINE
    while not (waits := vera.get("/api/v1/approvals").json()["items"]) and time.monotonic() < until:
        time.sleep(0.1)
    assert waits[0]["run"] == run and waits[0]["digest"] == plan["digest"]
    seen: list[tuple[str, str, dict[str, Any]]] = []
    with vera.stream("GET", f"/api/v1/runs/{run}/events") as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        for event in events(stream):
            seen.append(event)
            if event[0] == "run" and event[2]["state"] == "waits for approval":
                assert ann.post(f"/api/v1/runs/{run}/approve", json={"digest": plan["digest"]}).status_code == 409
                assert ben.post(f"/api/v1/runs/{run}/approve", json={"digest": plan["digest"]}).status_code == 200
    states = [data["state"] for name, _, data in seen if name == "run"]
    assert states[0] == "waits for approval" and states[-1] == "done"
    assert "".join(data["text"] for name, _, data in seen if name == "output") == "one\ntwo\n"
    done = {data["step"] for name, _, data in seen if name == "step" and data["state"] == "done"}
    assert done == {"first", "second"}
    log = vera.get(f"/api/v1/runs/{run}/log", params={"step": "second"}).json()
    assert [one["text"] for one in log["items"]] == ["two\n"]
    # Who comes back is told what came after, and nothing twice.
    outputs = [number for number, (name, _, _) in enumerate(seen) if name == "output"]
    headers = {"Last-Event-ID": seen[outputs[0]][1]}
    with vera.stream("GET", f"/api/v1/runs/{run}/events", headers=headers) as stream:
        again = list(events(stream))
    assert [data["text"] for name, _, data in again if name == "output"] == ["two\n"]
    assert again[-1][2]["state"] == "done"
    with vera.stream("GET", f"/api/v1/runs/{run}/events", headers={"Last-Event-ID": seen[-1][1]}) as stream:
        assert list(events(stream)) == []


def test_results_of_checks_come_as_a_stream_that_goes_on_where_it_was_left(served: Served) -> None:
    vera = served.of("vera", "viewer")

    def some(count: int, last: str = "") -> list[tuple[str, str, dict[str, Any]]]:
        found = []
        with vera.stream("GET", "/api/v1/checks/events", headers={"Last-Event-ID": last} if last else {}) as stream:
            for event in events(stream):
                found.append(event)
                if len(found) == count:
                    break
        return found

    first = some(3)
    assert {data["check_id"] for _, _, data in first} == {"api-up"} and first[-1][2]["state"] == "critical"
    then = some(2, first[0][1])
    assert int(then[0][1]) > int(first[0][1])
    assert then[0][2]["at"] > first[0][2]["at"]


def test_people_of_the_identity_provider_come_in_with_what_it_signed(served: Served) -> None:
    now = int(time.time())
    told = {"iss": served.issuer, "aud": "opsbook", "sub": "u1", "preferred_username": "zoe", "groups": ["sre"],
            "exp": now + 600, "nbf": now - 5}  # fmt: skip
    other = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})

    def signed(key: RSAKey = KEY, **more: Any) -> str:
        return jwt.encode({"alg": "RS256", "kid": "one"}, {**told, **more}, key)

    me = served.client(signed()).get("/api/v1/me").json()
    assert me["name"] == "zoe@127.0.0.1" and me["roles"][-1] == "operator"
    asked = served.client(signed()).post("/api/v1/runs", json={"procedure": "steps", "new": True})
    assert asked.status_code == 202 and asked.json()["requester"] == "zoe@127.0.0.1"
    assert served.client(signed()).post(f"/api/v1/runs/{asked.json()['id']}/cancel", json={}).status_code == 200
    for wrong in (signed(aud="x"), signed(exp=now - 60), signed(other), signed(iss="http://127.0.0.1:1"), "x.y.z"):
        assert served.client(wrong).get("/api/v1/me").status_code == 401
    assert served.client(signed(groups=[])).get("/api/v1/me").status_code == 403


def test_it_ends_when_it_is_told_to_with_streams_that_are_open(served: Served) -> None:
    vera = served.of("vera", "viewer")
    with vera.stream("GET", "/api/v1/checks/events") as stream:
        next(events(stream))
        assert served.end() == 0
    assert "Traceback" not in (served.folder / "serve.log").read_text()
