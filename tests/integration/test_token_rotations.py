"""Tokens rotated: of opsbook's own API, served by a real process, and of an issuer that is asked by HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from opsbook.api.tokens import Bounds, make, revoke, told
from opsbook.book.load import InvalidBook, load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.registry import OpenConnections
from opsbook.engine.access import local_actor
from opsbook.engine.setting import Setting, open_setting
from opsbook.store.audit import newest
from opsbook.store.database import reading, store_address
from opsbook.store.tokens import listed
from tests.integration.dying import FILES, dies
from tests.integration.hands import Hands
from tests.integration.servers import free_port, make_system

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

OPSBOOK = Path(sys.executable).with_name("opsbook")
DEADLINE = 60.0
ENV = {name: value for name, value in os.environ.items() if name != "OPSBOOK_STORE"}
ANY = Bounds()
ACTS = ("prepare", "distribute", "retire")
NAMED = {"of": "opsbook", "rotation": "ci"}


class Served:
    """An opsbook that serves a book in which a token of its own is rotated."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.env, self.file = folder / "ci.env", folder / "token"
        rotation = {
            "id": "ci", "of": "opsbook", "kind": "token", "every": "30d", "to": f"env:{self.env}#TOKEN",
            "also": [f"file:{self.file}"], "issuer": {"opsbook": True},
        }  # fmt: skip
        book = {
            "opsbook": 1, "system": "kiln", "environments": {"test": {"policy": "open"}},
            "components": {"opsbook": {"kind": "http", "url": f"http://127.0.0.1:{self.port}", "health": "/healthz"}},
            "rotations": [rotation],
        }  # fmt: skip
        (folder / "book.yaml").write_text(yaml.safe_dump(book))

    def do(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(OPSBOOK), *words], cwd=self.folder, env=ENV, capture_output=True, text=True,
                              timeout=DEADLINE, check=False)  # fmt: skip

    def hold(self, bounds: Bounds = ANY) -> str:
        """A new token, the only one that lives, and the places hold it."""
        with self.setting() as setting:
            system, actor = self.system(), local_actor()
            for one in self.living():
                revoke(setting, system.model.access, actor, str(one["id"]))
            text, _ = make(setting, system.model.access, actor, "ci", bounds, timedelta(days=40))
        self.env.write_text(f"A=1\nTOKEN={text}\n")
        self.file.write_text(f"{text}\n")
        return text

    @contextmanager
    def setting(self) -> Iterator[Setting]:
        found = open_setting(self.system())
        try:
            yield found
        finally:
            found.close()

    def status(self, token: str) -> int:
        url = f"http://127.0.0.1:{self.port}/api/v1/me"
        return httpx.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=DEADLINE).status_code

    def living(self) -> list[dict[str, Any]]:
        with self.setting() as setting, reading(setting.store) as connection:
            found = [told(one, setting.now()) for one in listed(connection)]
        return [one for one in found if one["state"] == "lives"]

    def system(self) -> System:
        return in_environment(load_book(self.folder / "book.yaml", catalogue()))

    def act(self, name: str) -> Any:
        """One act of the rotation, as a run does it, over connections of its own."""

        async def run() -> Any:
            connections = OpenConnections(self.system(), store=store_address(self.folder))
            try:
                return await Hands(connections).do(f"credential.{name}", **NAMED)
            finally:
                await connections.close()

        return asyncio.run(run())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    os.environ.pop("OPSBOOK_STORE", None)
    one = Served(tmp_path_factory.mktemp("served"))
    log = one.folder / "serve.log"
    with log.open("w") as file:
        words = [str(OPSBOOK), "serve", "--port", str(one.port)]
        process = subprocess.Popen(words, cwd=one.folder, env=ENV, stderr=file)
    try:
        until = time.monotonic() + DEADLINE
        while "serves http" not in log.read_text():
            assert process.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        yield one
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE)


def test_a_run_rotates_a_token_of_this_opsbook_and_proves_the_old_one_dead(served: Served) -> None:
    old = served.hold(Bounds("operator", ("status", "runs")))
    (before,) = served.living()
    planned = served.do("plan", "rotate-ci")
    assert planned.returncode == 0, planned.stderr
    assert served.status(old) == 200
    ran = served.do("run", "rotate-ci", "--yes")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    new = served.file.read_text().strip()
    assert served.env.read_text() == f"A=1\nTOKEN={new}\n"
    assert (served.status(old), served.status(new)) == (401, 200)
    (after,) = served.living()
    same = ("name", "owner", "role", "scopes", "systems", "environments")
    assert [after[name] for name in same] == [before[name] for name in same], (
        "it lets its owner do what the old one did"
    )
    assert after["expires_at"] - after["made_at"] == pytest.approx(before["expires_at"] - before["made_at"])
    assert served.do("audit", "verify").returncode == 0
    with served.setting() as setting:
        record = [f"{one.act.event} {one.act.actor} {one.detail}" for one in newest(setting.store, 200)]
    assert len([one for one in record if one.startswith("token revoked opsbook") and before["id"] in one]) == 1
    said = [planned.stdout, planned.stderr, ran.stdout, ran.stderr, *record, (served.folder / "serve.log").read_text()]
    kept = [path.read_bytes() for path in (served.folder / ".opsbook").rglob("*") if path.is_file()]
    for text in (old, new):
        secret = text.split("_", 2)[2]
        assert not any(secret in one for one in said)
        assert not any(secret.encode() in one for one in kept), "the store has only its hash"


def test_wherever_a_rotation_is_killed_one_token_lives_at_the_end(served: Served) -> None:
    touches = (*FILES, "sqlite3.connect", "socket.connect")
    for act in ACTS:
        number = 0
        while True:
            number += 1
            old = served.hold()
            for before in ACTS[: ACTS.index(act)]:
                served.act(before)
            killed = dies(lambda act=act: served.act(act), number, touches)
            where = f"{act}, killed before touch {number}"
            assert served.status(served.file.read_text().strip()) == 200, f"{where}: what a place holds is dead"
            for again in ACTS if act != "retire" else ACTS[2:]:
                ended = served.act(again)
            assert ended["dead"] is True, where
            assert served.status(old) == 401, where
            assert len(served.living()) == 1, f"{where}: a token lives that nobody holds"
            assert not list(served.folder.glob(".ci.env*")), where
            if not killed:
                break
        assert number > 1


def test_one_that_has_ended_is_not_rotated_into_one_that_lives(served: Served) -> None:
    old = served.hold()
    with served.setting() as setting:
        revoke(setting, served.system().model.access, local_actor(), old.split("_")[1])
    with pytest.raises(ChangeFailed, match="lets nobody into this opsbook: it was revoked"):
        served.act("prepare")
    assert served.living() == []
    served.hold()
    for act in ACTS:
        served.act(act)
    assert served.status(served.file.read_text().strip()) == 200
    assert len(served.living()) == 1, "it does not go on with what was begun for the dead one"


class Issuer(BaseHTTPRequestHandler):
    """An API that issues tokens: it knows name and id of each, and who may come in."""

    tokens: dict[str, dict[str, str]] = {}
    """id → name, token."""

    def do_GET(self) -> None:
        if self.path.startswith("/me"):
            given = self.headers["X-Token"]
            return self._answer(200 if any(one["token"] == given for one in self.tokens.values()) else 403, {})
        listed = [{"label": one["name"], "key": id} for id, one in self.tokens.items()]
        return self._answer(200, {"data": {"tokens": listed}})

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != "Bearer the-admin-word":
            return self._answer(401, {})
        if self.path == "/revoke":
            for id, one in list(self.tokens.items()):
                if one["token"] == told["value"]:
                    del self.tokens[id]
            return self._answer(200, {})
        id, token = secrets.token_hex(4), secrets.token_urlsafe(24)
        self.tokens[id] = {"name": told["label"], "token": token}
        return self._answer(201, {"data": {"secret": token}})

    def do_DELETE(self) -> None:
        found = self.tokens.pop(self.path.rpartition("/")[2], None)
        return self._answer(204 if found else 404, None)

    def _answer(self, status: int, body: Any) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def issuing(folder: Path) -> Iterator[tuple[System, Path]]:
    """An issuer, and a system with the place of its token."""
    Issuer.tokens = {"first": {"name": "by hand", "token": "the-token-of-before"}}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place, word = folder / "token", folder / "admin"
    word.write_text("the-admin-word\n")
    http = {
        "headers": {"Authorization": "Bearer ${ADMIN_WORD}"},
        "make": {"path": "/tokens", "body": {"label": "{name}"}}, "token": "data.secret",
        "test": "/me", "header": "X-Token", "scheme": "",
        "revoke": {"path": "/revoke", "body": {"value": "{token}"}},
        "list": "/tokens", "items": "data.tokens", "name": "label", "id": "key",
        "recall": {"method": "DELETE", "path": "/tokens/{id}"},
    }  # fmt: skip
    rotation = {
        "id": "hook", "of": "api", "kind": "token", "every": "90d", "to": f"file:{place}", "issuer": {"http": http},
    }  # fmt: skip
    components = {"api": {"kind": "http", "url": f"http://127.0.0.1:{server.server_port}"}}
    env = folder / "book.env"
    env.write_text("ADMIN_WORD=the-admin-word\n")
    environments = {"test": {"policy": "open", "env_file": str(env)}}
    try:
        yield make_system(folder / "book", components, rotations=[rotation], environments=environments), place
    finally:
        server.shutdown()
        server.server_close()


def hooked(system: System, name: str) -> tuple[Any, str]:
    """One act of its rotation, and what it said."""

    async def run() -> tuple[Any, str]:
        connections = OpenConnections(system)
        try:
            hands = Hands(connections)
            return await hands.do(f"credential.{name}", of="api", rotation="hook"), hands.out.text
        finally:
            await connections.close()

    return asyncio.run(run())


@pytest.mark.parametrize("then", ["goes on", "goes back"])
def test_a_token_that_an_issuer_made_for_who_was_killed_is_found_and_ended(tmp_path: Path, then: str) -> None:
    unknown = 0
    with issuing(tmp_path) as (system, place):
        number = 0
        while True:
            number += 1
            Issuer.tokens = {"first": {"name": "by hand", "token": "the-token-of-before"}}
            place.write_text("the-token-of-before\n")
            killed = dies(lambda: hooked(system, "prepare"), number, (*FILES, "socket.connect"))
            unknown += len(Issuer.tokens) - 1
            where = f"killed before touch {number}"
            if then == "goes back" and killed and list(tmp_path.glob(".token.hook.pending")):
                hooked(system, "withdraw")
                known = [json.loads(one.read_text()) for one in tmp_path.glob(".token.hook.pending")]
                assert len(Issuer.tokens) == 1 + len(known), f"{where}: one lives that nobody knows"
                assert place.read_text() == "the-token-of-before\n"
            said = "".join(hooked(system, name)[1] for name in ACTS)
            new = place.read_text().strip()
            assert [one["token"] for one in Issuer.tokens.values()] == [new], f"{where}: one lives that nobody knows"
            assert new != "the-token-of-before" and new not in said
            assert not list(tmp_path.glob(".*token*")), where
            if not killed:
                break
    assert unknown > 1, "in some of the deaths the issuer had made one"


def test_a_token_in_a_path_and_two_issuers_are_refused(tmp_path: Path) -> None:
    http = {"make": {"path": "/t"}, "test": "/me", "revoke": {"path": "/t/{token}"}, "list": "/t",
            "recall": {"path": "/t/{id}"}}  # fmt: skip
    rotation = {"id": "hook", "of": "api", "kind": "token", "every": "90d", "to": "file:token"}
    components = {"api": {"kind": "http", "url": "http://127.0.0.1:1"}}
    with pytest.raises(InvalidBook, match="would be in the log of every server"):
        make_system(tmp_path, components, rotations=[{**rotation, "issuer": {"http": http}}])
    with pytest.raises(InvalidBook, match="three ways to issue a token"):
        make_system(tmp_path, components, rotations=[{**rotation, "issuer": {"opsbook": True, "make": ["x"]}}])
