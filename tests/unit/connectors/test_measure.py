"""What a deploy is watched by: answers over connections of their own, and checks that are held meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.operations.facts import FakeFacts, plan, system_of

from opsbook.connectors.change import Change, ChangeFailed
from opsbook.connectors.executors.hold import Hold
from opsbook.connectors.executors.measure import Measure
from opsbook.connectors.executors.traffic import _healthy
from opsbook.connectors.http import HttpConnector
from opsbook.connectors.registry import REGISTERED
from opsbook.engine.values import fill_tree


class Server:
    """Answers every request with what `answers` has next, the last one again and again; counts connections."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str]] = [(200, "items: 3")]
        self.opened = self.asked = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        while await reader.readuntil(b"\r\n\r\n"):
            status, text = self.answers[min(self.asked, len(self.answers) - 1)]
            self.asked += 1
            writer.write(f"HTTP/1.1 {status} So\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())


class Said:
    """What was written."""

    text = ""

    async def write(self, text: str) -> None:
        self.text += text


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await made.serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    yield made
    listening.close()


@pytest.fixture
def connections(server: Server, tmp_path: Path) -> Any:
    url = f"http://127.0.0.1:{server.port}"  # type: ignore[attr-defined]
    system = system_of(tmp_path, {"api": {"kind": "http", "url": url}})
    made: Any = SimpleNamespace(system=system)
    connector = HttpConnector("api", system.components["api"], system, made)
    made.of = lambda component: connector
    return made


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Which checks are bad at each look, the last one again and again; what was looked at is dropped from the front."""
    script: list[list[str]] = [[]]

    async def holds(_: object, checks: Sequence[str]) -> Mapping[str, str]:
        bad = script.pop(0) if len(script) > 1 else script[0]
        return {name: f"{name} is critical: made up" for name in checks if name in bad}

    monkeypatch.setattr(REGISTERED, "holding", [holds])
    return script


async def measured(connections: Any, **effect: Any) -> tuple[dict[str, Any], str]:
    said = Said()
    whole = {"component": "api", "path": "/items", "seconds": 0.4, "rate": 50, "errors": 0.01, "latency": None}
    done = await Measure(connections).apply("it", Change("measure", {**whole, **effect}), None, said)
    return done.result, said.text


async def test_each_request_meets_the_instance_that_a_balancer_chooses_anew(connections: Any, server: Server) -> None:
    result, said = await measured(connections)
    assert (result["answers"], result["errors"], result["status"], result["bad"]) == (20, 0.0, 200, [])
    assert server.opened == server.asked == 20
    assert said.startswith("20 answers, 0.0% errors")


async def test_a_side_is_healthy_after_good_answers_in_a_row_however_long_they_take(
    connections: Any, server: Server
) -> None:
    connector = connections.of("api")
    assert await _healthy(connector, 0.01) == "", "begun in time"
    assert server.opened == server.asked == 5
    server.answers = [(200, "")] * 8 + [(503, "")]
    assert await _healthy(connector, 0.01) == "503 So"


@pytest.mark.parametrize(
    ("answer", "expected", "why"),
    [
        ((404, "items: 3"), {"status": 200, "contains": "items"}, r"5 of 5 requests failed \(404 So\)"),
        ((200, "error"), {"status": 200, "contains": "items"}, r"\(200 So without 'items'\)"),
        ((401, ""), {"before": 200}, r"\(401 So\)"),
        ((503, ""), {}, r"\(503 So\)"),
        ((503, ""), {"before": 503}, ""),
        ((404, ""), {"status": 404}, ""),
        ((401, ""), {"before": 401}, ""),
        ((204, ""), {"before": 200}, ""),
        ((404, ""), {}, ""),
    ],
)
async def test_an_answer_that_is_another_one_than_said_or_before_has_failed(
    connections: Any, server: Server, answer: tuple[int, str], expected: dict[str, Any], why: str
) -> None:
    server.answers = [answer]
    if not why:
        assert (await measured(connections, **expected))[0]["errors"] == 0
        return
    with pytest.raises(ChangeFailed, match=why):
        await measured(connections, **expected)


async def test_a_check_that_stays_bad_ends_the_watch_and_one_bad_look_does_not(
    connections: Any, looks: list[list[str]]
) -> None:
    looks[:] = [["queue"], [], ["queue"], []]
    await measured(connections, checks=["queue", "up"], every=0.01)
    assert looks == [[]], "it was looked at all the time"
    looks[:] = [[], ["queue"], ["queue", "up"]]
    with pytest.raises(ChangeFailed, match="api: queue is critical: made up"):
        await measured(connections, seconds=60, checks=["queue", "up"], every=0.01)
    looks[:] = [["up"]]
    assert (await measured(connections, checks=["queue", "up"]))[0]["bad"] == ["up"], "before, nothing is held"


async def test_what_answers_no_requests_is_watched_by_its_checks(connections: Any, looks: list[list[str]]) -> None:
    hold, said = Hold(connections), Said()
    effect = {"component": "worker", "checks": ["queue", "up"], "seconds": 0, "every": 0}
    looks[:] = [["up"]]
    assert (await hold.apply("it", Change("hold", effect), None, said)).result["bad"] == ["up"]
    effect |= {"seconds": 0.1, "every": 0.01}
    looks[:] = [["up"], []]
    assert (await hold.apply("it", Change("hold", effect), None, said)).result["seconds"] >= 0.1
    looks[:] = [[], [], ["up"]]
    with pytest.raises(ChangeFailed, match="worker: up is critical"):
        await hold.apply("it", Change("hold", effect | {"seconds": 60}), None, said)


async def test_a_check_that_was_bad_before_is_not_held(tmp_path: Path) -> None:
    system = system_of(tmp_path, {"api": {"kind": "http", "url": "http://127.0.0.1:1"}})
    checks = [SimpleNamespace(id=name) for name in ("queue", "up")]
    facts: Any = FakeFacts(system, {})
    facts.system = SimpleNamespace(components=system.components, checks=checks)
    given = {"of": "api", "for": "1m", "checks": ["queue", "up"],
             "bad_before": "{{ before.bad | default([]) }}"}  # fmt: skip
    (change,) = await plan("checks.hold", facts, **fill_tree(given, {"before": {"bad": ["up"]}}, references=False))
    assert change.effect["checks"] == ["queue"]
    # It was noted by a version that did not look at checks yet.
    (change,) = await plan("checks.hold", facts, **fill_tree(given, {"before": {"errors": 0}}, references=False))
    assert change.effect["checks"] == ["queue", "up"]
