"""Profiles of a workload's process on every runtime: CPU time as a picture, memory as figures and stacks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from opsbook.book.system import System
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.executors import profile
from opsbook.errors import Refused
from tests.integration.cluster import BEAT, deployment, new_namespace, python
from tests.integration.hands import Hands, hands_of
from tests.integration.on_runtimes import on_each
from tests.integration.podman import new_podman
from tests.integration.podman import python as python_service
from tests.integration.supervisord import new_supervisord

pytestmark = pytest.mark.real

BUSY = """\
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
def counts_the_beans():
    ends = time.monotonic() + 0.05
    while time.monotonic() < ends:
        sum(one * one for one in range(500))
while True:
    counts_the_beans()
    time.sleep(0.05)
"""
COMPONENTS: dict[str, dict[str, Any]] = {"busy": {"kind": "workload"}, "idle": {"kind": "workload"}}


@contextmanager
def on_supervisor() -> Iterator[System]:
    with new_supervisord() as server:
        (server.folder / "busy.py").write_text(BUSY)
        (server.folder / "more.conf").write_text(server.section("busy", "busy.py") + server.section("idle", "beat.py"))
        server.stop()
        yield server.start().system(COMPONENTS)


@contextmanager
def on_compose() -> Iterator[System]:
    with new_podman("1") as engine:
        engine.write({"busy": python_service(BUSY), "idle": python_service(BEAT)})
        yield engine.system(COMPONENTS)


@contextmanager
def on_kubernetes() -> Iterator[System]:
    objects = (
        deployment("busy", python("busy", BUSY), replicas=0),
        deployment("idle", python("idle", BEAT), replicas=0),
    )
    with new_namespace(*objects) as cluster:
        yield cluster.system(COMPONENTS)


system = on_each({"supervisor": on_supervisor, "compose": on_compose, "kubernetes": on_kubernetes})


@pytest.fixture
async def hands(system: System) -> AsyncIterator[Hands]:
    async with hands_of(system) as one:
        await one.do("workload.start", of="busy")
        await one.do("workload.start", of="idle")
        yield one


async def test_it_draws_where_cpu_time_goes_and_leaves_the_process_alone(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (await hands.connections.runtime.status("busy")).instances
    told = await hands.do("workload.profile", of="busy", seconds=2, rate=50)
    picture = hands.connections.system.path(told["path"])
    assert picture.suffix == ".svg"
    assert "counts_the_beans" in picture.read_text()
    assert picture.stat().st_mode & 0o077 == 0
    assert 0 < told["samples"] <= 100

    async def nowhere(*_: object) -> list[int]:
        return []

    if told["where"] == "host" and hands.connections.system.environment.runtime.kind == "compose":
        # As with an engine of another machine: py-spy goes into the container.
        monkeypatch.setattr(profile, "seen_here", nowhere)
    told = await hands.do("workload.profile", of="busy", seconds=2, rate=50, format="speedscope")
    frames = json.loads(hands.connections.system.path(told["path"]).read_text())["shared"]["frames"]
    assert "counts_the_beans" in {one["name"] for one in frames}
    after = (await hands.connections.runtime.status("busy")).instances
    assert [(one.name, one.started) for one in before] == [(one.name, one.started) for one in after]


async def test_it_writes_what_the_memory_is_and_what_every_thread_does(hands: Hands) -> None:
    told = await hands.do("workload.profile", of="busy", what="memory")
    text = hands.connections.system.path(told["path"]).read_text()
    assert told["processes"] >= 1
    assert told["resident"] >= told["proportional"] > 100_000
    assert "Private_Dirty" in text
    assert "<module>" in text, "the stacks stand beside it"


async def test_what_cannot_be_profiled_is_said(hands: Hands) -> None:
    with pytest.raises(ChangeFailed, match="no CPU"):
        await hands.do("workload.profile", of="idle", seconds=1, rate=1)
    with pytest.raises(Refused, match="no instance other"):
        await hands.do("workload.profile", of="busy", instance="other")
