"""Logs of several pods, of which one cannot be had, or whose clock is not that of who follows them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.integration.servers import make_system

from opsbook.cli.logs import _show
from opsbook.connectors.runtimes import kubernetes_logs
from opsbook.connectors.runtimes.contract import LogLine, LogQuery
from opsbook.connectors.runtimes.kubernetes_logs import follow_logs, read_logs
from opsbook.errors import Unreachable

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
"""What the clock of the pods says: far behind the clock of who asks."""


class Pods:
    """The pods of one workload, and what their kubelets answer."""

    def __init__(self, **logs: list[str]) -> None:
        self.logs = logs
        self.away: set[str] = set()
        self.cut: set[str] = set()
        self.on_read: dict[str, str] = {}
        """Pod → the line that it writes when its lines have been read for the first time."""
        self.asked: list[tuple[str, Any]] = []
        self.api = self
        self.namespace = SimpleNamespace(core=lambda plural, name, below: name)

    async def pods(self, _workload: str) -> list[Any]:
        return [SimpleNamespace(name=name, images={"main": "image:1"}) for name in self.logs]

    def container(self, _workload: str) -> str:
        return ""

    @asynccontextmanager
    async def lines(self, pod: str, query: Any, follow: bool = False) -> AsyncIterator[AsyncIterator[str]]:
        self.asked.append((pod, query))
        if pod in self.away:
            raise Unreachable("Kubernetes answers 500: dial tcp 10.0.0.9:10250: no route to host")
        yield self._of(pod, query, follow)

    async def _of(self, pod: str, query: Any, follow: bool) -> AsyncIterator[str]:
        read = [line for line in self.logs[pod] if line[:19] >= query.get("sinceTime", "")[:19]]
        for line in read[-query["tailLines"] :] if "tailLines" in query else read:
            yield line
        if pod in self.on_read:
            self.logs[pod].append(self.on_read.pop(pod))
        if pod in self.cut:
            raise Unreachable("Kubernetes does not answer: the connection was cut")
        if follow:
            await asyncio.Event().wait()


def line(seconds: float, text: str) -> str:
    return f"{(LONG_AGO + timedelta(seconds=seconds)).isoformat(timespec='microseconds')[:26]}Z {text}"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_logs, "LOOK_SECONDS", 0.01)


async def all_of(pods: Any, query: LogQuery) -> list[LogLine]:
    return [one async for one in read_logs(pods, "web", query)]


async def followed(pods: Any, query: LogQuery, count: int) -> list[LogLine]:
    found: list[LogLine] = []
    async with asyncio.timeout(5), aclosing(follow_logs(pods, "web", query)) as lines:
        async for one in lines:
            found.append(one)
            if len(found) == count:
                return found
    return found


def told(lines: list[LogLine]) -> list[str]:
    return [f"{one.instance} {one.text}" for one in lines if not one.missing]


@pytest.mark.parametrize("query", [LogQuery(), LogQuery(tail=None)], ids=["the last", "all"])
async def test_a_pod_on_a_dead_node_is_told_and_the_lines_of_the_others_are_shown(query: LogQuery) -> None:
    pods = Pods(a=[line(1, "one"), line(3, "three")], b=[line(2, "two")], c=[line(4, "four")])
    pods.away.add("b")
    pods.cut.add("c")
    found = await all_of(pods, query)
    assert told(found) == ["a one", "a three", "c four"]
    assert [(one.instance, one.at) for one in found if one.missing] == [("b", None), ("c", None)]
    assert "no route to host" in found[-2].text
    pods.away |= {"a", "c"}
    with pytest.raises(Unreachable, match="no route to host"):
        await all_of(pods, query)


async def test_following_begins_though_a_pod_is_away_and_takes_it_up_when_it_is_back() -> None:
    pods = Pods(a=[line(1, "one")], b=[line(0, "older"), line(2, "two")])
    pods.away.add("b")
    async with asyncio.timeout(5), aclosing(follow_logs(pods, "web", LogQuery(tail=1))) as lines:
        first, second = await anext(lines), await anext(lines)
        assert (told([first]), second.instance, second.missing) == (["a one"], "b", True)
        pods.away.clear()
        assert told([await anext(lines)]) == ["b two"], "no more of it than was asked for"


@pytest.mark.parametrize("tail", [1, 0])
async def test_following_loses_no_line_that_is_written_while_it_begins(tail: int) -> None:
    pods = Pods(a=[line(1, "one"), line(2, "two")], b=[])
    pods.on_read = {"a": line(2.5, "meanwhile"), "b": line(2.6, "the first of b")}
    found = await followed(pods, LogQuery(tail=tail), 2 + tail)
    assert sorted(told(found)) == ["a meanwhile", *["a two"] * tail, "b the first of b"]


async def test_following_since_a_time_shows_what_was_written_since_then() -> None:
    pods = Pods(a=[line(1, "one"), line(20, "good"), line(21, "bad")], b=[line(2, "quiet")])
    pods.on_read = {"a": line(22, "good again")}
    query = LogQuery(None, LONG_AGO + timedelta(seconds=10), contains="good")
    assert told(await followed(pods, query, 2)) == ["a good", "a good again"]


@pytest.mark.parametrize("output", ["text", "json"])
async def test_what_is_missing_is_told_beside_the_lines(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pods = Pods(a=[line(1, "one")], b=[])
    pods.away.add("b")
    monkeypatch.setattr("opsbook.cli.logs._lines", lambda *_: read_logs(pods, "web", LogQuery()))
    system = make_system(tmp_path, {"web": {"kind": "workload"}})
    assert await _show(system, "web", LogQuery(), None, output) == 0
    told = capsys.readouterr()
    assert "one" in told.out and "cannot be had" not in told.out
    assert told.err.startswith("b: its lines cannot be had: ")
