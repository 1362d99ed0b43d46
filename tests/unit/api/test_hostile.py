"""What no client should send is answered with a problem, and no secret of the book is in any answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.unit.api.conftest import PLANTED, Doors
from tests.unit.api.test_routes import path_of, routes

from opsbook.api.answers import encoded
from opsbook.api.house import Limits

BODIES: dict[str, bytes] = {
    "no JSON": b"{", "not UTF-8": b'{"procedure": "\xff\xfe"}', "a list": b"[]", "null": b"null", "a number": b"1e999",
    "NUL": b'{"procedure": "a\\u0000b"}', "half a character": b'{"procedure": "\\ud800"}',
    "a path": b'{"procedure": "../../etc/passwd"}', "very deep": b"[" * 100_000,
    "a key that nobody knows": b'{"procedure": "look", "proc": 1}',
    "huge number": b'{"procedure": ' + b"9" * 5000 + b"}",
    "a long name": json.dumps({"procedure": "a" * 5000}).encode(), "NaN": b'{"procedure": NaN}',
    "an unhashable parameter": b'{"procedure": "look", "parameters": {"x": {"y": []}}}',
}  # fmt: skip
PATHS = (
    "/api/v1/../../etc/passwd", "/api/v1/runs/..%2f..%2fbook.yaml", "/api/v1/runs/%00", "/api/v1/runs/a%0ab",
    "/api/v1/checks/%F0%9F%92%A5", "/api/v1/checks/" + "a" * 3000, "/api/v1/components/..", "/api/v1/procedures/%2e%2e",
    "/api/v1/incidents/%ff", "//api/v1/runs", "/api/v1/runs/", "/API/V1/runs",
    "/api/v1/checks/api-up/history?cursor=!!",
    "/api/v1/runs?cursor=W10", "/api/v1/runs?cursor=WyJhIl0", "/api/v1/runs?cursor=W05hTiwiYSJd",
    "/api/v1/runs?limit=0",
    "/api/v1/audit?cursor=WzFlOTld",
    "/api/v1/runs?state=nothing", "/api/v1/runs?environment=nowhere", "/api/v1/runs?environment=../x",
    "/api/v1/checks/api-up/history?since=1e400", "/api/v1/checks/api-up/history?since=nan",
)  # fmt: skip


@pytest.mark.parametrize("why", BODIES)
async def test_a_hostile_body_is_answered_with_a_problem(doors: Doors, why: str) -> None:
    client = doors.client()
    for path in ("/api/v1/runs", "/api/v1/procedures/look/plan", "/api/v1/incidents", "/api/v1/alertmanager"):
        answer = await client.post(path, content=BODIES[why], headers={"Content-Type": "application/json"})
        assert 400 <= answer.status_code < 500, f"{path}: {answer.status_code} {answer.text[:200]}"
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["detail"]


async def test_a_hostile_path_is_answered_with_a_problem(doors: Doors) -> None:
    client = doors.client()
    for path in PATHS:
        answer = await client.get(path)
        assert answer.status_code in (400, 404, 422), f"{path}: {answer.status_code} {answer.text[:200]}"
        assert answer.headers["Content-Type"] == "application/problem+json", path


async def test_a_body_is_too_large_by_its_length_or_by_its_bytes(open_doors: Callable[..., Doors]) -> None:
    doors = open_doors(limits=Limits(body=1000, large_body=4000))
    client = doors.client()

    async def parts(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 500

    assert (await client.post("/api/v1/runs", content=b"x" * 1001)).status_code == 413
    assert (await client.post("/api/v1/runs", content=parts(40))).status_code == 413
    assert (await client.post("/api/v1/alertmanager", content=parts(4))).status_code == 400
    assert (await client.post("/api/v1/alertmanager", content=parts(40))).status_code == 413
    answer = await client.post("/api/v1/runs", content=b"{}", headers={"Content-Length": "²".encode("latin-1")})
    assert answer.status_code == 413


async def test_it_answers_only_under_its_own_names_and_says_nothing_to_other_origins(doors: Doors) -> None:
    client = doors.client()
    for name in ("evil.example", "127.0.0.1.evil.example", "[::2]", ""):
        assert (await client.get("/healthz", headers={"Host": name})).status_code == 421, name
    for name in ("127.0.0.1", "127.0.0.1:8340"):
        assert (await client.get("/healthz", headers={"Host": name})).status_code == 200, name
    answer = await client.get("/api/v1/checks", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    for name in ("X-Content-Type-Options", "Content-Security-Policy", "X-Frame-Options", "Referrer-Policy"):
        assert answer.headers[name]
    preflight = await client.options("/api/v1/runs", headers={"Origin": "https://evil.example"})
    assert preflight.status_code == 405


@pytest.mark.parametrize(
    "header", ["Basic YTpi", "Bearer", "Bearer ", "bearer x y", "Bearer opsbook_a_b", "Bearer \u00ff", "Token x"]
)
async def test_any_other_word_is_nobody(doors: Doors, header: str) -> None:
    client = doors.bearing("")
    answer = await client.get("/api/v1/checks", headers={"Authorization": header.encode("latin-1")})
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"


async def test_no_secret_of_the_book_is_in_any_answer(doors: Doors) -> None:
    client = doors.client()
    run = (await client.post("/api/v1/runs", json={"procedure": "careful"})).json()["id"]
    seen = 0
    for route, method, _ in routes(doors.app):
        if method != "GET" or route.path.endswith("/events"):
            continue
        for path in (path_of(route), route.path.replace("{run}", run).replace("{name}", "database")):
            answer = await client.get(path)
            seen += answer.status_code == 200
            for secret in PLANTED.values():
                assert secret not in answer.text, path
    assert seen > 25


async def test_a_secret_parameter_is_given_as_a_variable_and_never_as_a_file(doors: Doors) -> None:
    (doors.house.watch.system.folder / "procedures" / "with-secret.md").write_text(
        "---\ntitle: S\nrisk: read\nparams: {key: {type: secret}}\n---\n1. Look.\n   ```sh id=look risk=read\n"
        "   test -n {{ key }}\n   ```\n"
    )
    client = doors.client()
    for value in ("file:/etc/shadow", "cmd:id", "hunter2", "${A}${B}"):
        answer = await client.post("/api/v1/procedures/with-secret/plan", json={"parameters": {"key": value}})
        assert answer.status_code == 400 and value not in answer.text, answer.text
    named = await client.post("/api/v1/procedures/with-secret/plan", json={"parameters": {"key": "${PLANTED_TOKEN}"}})
    assert named.status_code == 200 and PLANTED["PLANTED_TOKEN"] not in named.text


async def test_what_was_sent_wrongly_is_not_told_back(doors: Doors) -> None:
    answer = await doors.client().post("/api/v1/runs", json={"procedure": ["s3cret-value"], "confirm": 7})
    assert answer.status_code == 422 and "s3cret-value" not in answer.text
    assert {one["at"] for one in answer.json()["mistakes"]} == {"body/procedure", "body/confirm"}


async def test_a_fault_of_its_own_tells_nothing_of_the_inside(
    doors: Doors, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("/secret/path of a fault")

    monkeypatch.setattr("opsbook.api.routes.runs.locks_held", broken)
    answer = await doors.client().get("/api/v1/runs")
    assert answer.status_code == 500 and "/secret/path" not in answer.text
    assert answer.json()["fault"] in caplog.text and "/secret/path" in caplog.text


@pytest.mark.parametrize("value", [float("inf"), float("nan"), "\ud800", "\0", {"a": [float("-inf"), "\udcff"]}])
def test_everything_can_be_told_as_json(value: Any) -> None:
    json.loads(encoded({"value": value}).decode("utf-8"))
