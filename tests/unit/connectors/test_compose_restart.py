"""A restart in which a container is made anew, cut off at any place, and gone on with."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from opsbook.connectors.change import Change, Done
from opsbook.connectors.runtimes.compose_executor import ComposeExecutor
from opsbook.connectors.runtimes.compose_labels import SPARE
from opsbook.connectors.runtimes.contract import Verb
from opsbook.errors import Refused


def container(name: str, number: str) -> Any:
    return SimpleNamespace(name=name, id=number, image="shop:1", active=True)


@dataclass
class Maker:
    """What is told to it, and the containers that there are."""

    found: list[Any]
    told: list[str] = field(default_factory=list)

    async def remove(self, one: Any) -> None:
        self.told.append(f"remove {one.id}")
        self.found[:] = [each for each in self.found if each.id != one.id]

    async def stop(self, one: Any) -> None:
        self.told.append(f"stop {one.id}")

    async def start(self, one: Any) -> None:
        self.told.append(f"start {one.id}")

    async def restart(self, one: Any) -> None:
        self.told.append(f"restart {one.id}")

    async def make(self, image: str, others: list[Any], name: str, labels: Any = None) -> Any:
        made = container(name, "made")
        self.found.append(made)
        return made


CHANGE = Change(
    "compose", {"verb": Verb.RESTART.value, "workload": "api", "containers": ["api-1"], "wait": 5},
    guard={"ids": {"api-1": "old"}},
)  # fmt: skip


def restarted(monkeypatch: pytest.MonkeyPatch, found: list[Any], *, otherwise: bool) -> list[str]:
    maker = Maker(found)

    async def containers(_workload: str) -> list[Any]:
        return list(maker.found)

    async def call(_name: str, *_words: Any) -> None:
        return None

    compose: Any = SimpleNamespace(containers=containers, api=SimpleNamespace(call=call))
    executor = ComposeExecutor(compose, None)  # type: ignore[arg-type]
    monkeypatch.setattr("opsbook.connectors.runtimes.compose_executor.Maker", lambda *_: maker)
    monkeypatch.setattr(executor, "_told_otherwise", lambda one: otherwise and one.id == "old")
    done = asyncio.run(executor.apply("key", CHANGE, None, None))  # type: ignore[arg-type]
    assert isinstance(done, Done)
    return maker.told


def test_one_whose_variables_are_the_same_is_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert restarted(monkeypatch, [container("api-1", "old")], otherwise=False) == ["restart old"]


def test_one_that_was_cut_off_before_the_new_one_was_made_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told = restarted(monkeypatch, [container(f"api-1{SPARE}", "old")], otherwise=True)
    assert told == ["stop old", "start made", "remove old"]


def test_a_new_one_that_was_made_half_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told = restarted(monkeypatch, [container(f"api-1{SPARE}", "old"), container("api-1", "half")], otherwise=True)
    assert told == ["remove half", "stop old", "start made", "remove old"]


def test_one_that_was_made_anew_already_is_only_seen_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    assert restarted(monkeypatch, [container("api-1", "new")], otherwise=True) == ["start new"]


def test_one_that_is_gone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match="not there any more"):
        restarted(monkeypatch, [container("api-2", "other")], otherwise=False)
