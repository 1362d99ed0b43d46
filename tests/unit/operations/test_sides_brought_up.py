"""How many instances a side is proven with: as many as the other one, which its autoscaler may have made more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.operations.test_rollback_of_sides import Runtime, Sided

from opsbook.connectors.change import Change, Done, More
from opsbook.connectors.executors import traffic
from opsbook.connectors.executors.traffic import as_many
from opsbook.connectors.runtimes.contract import Verb


class Scaled(Runtime):
    """Tells how many instances of each workload are wanted."""

    def __init__(self, wanted: Mapping[str, int | None]) -> None:
        super().__init__({})
        self.wanted = dict(wanted)

    async def status(self, workload: str) -> Any:
        return SimpleNamespace(workload=SimpleNamespace(wanted=self.wanted[workload]))


class Starts:
    """Starts one at a time, and goes on where it was."""

    def __init__(self, runtime: Scaled) -> None:
        self.runtime = runtime

    async def apply(self, key: str, change: Change, cursor: Any, out: Any) -> Done | More:
        effect = change.effect
        assert (effect["verb"], effect["version"], effect["wait"]) == (Verb.START, "2", 9.0)
        self.runtime.wanted[effect["workload"]] += 1  # type: ignore[operator]
        so_far = self.runtime.wanted[effect["workload"]]
        return Done() if so_far == effect["replicas"] else More(so_far)


@pytest.mark.parametrize(
    ("serves", "begun", "proven"), [(6, 3, 6), (2, 3, 3), (3, 3, 3), (None, 3, 3), (6, None, None), (6, 0, 0)]
)
async def test_what_an_autoscaler_made_more_is_not_made_fewer_by_a_deploy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serves: int | None, begun: int | None, proven: int | None
) -> None:
    facts = Sided(tmp_path, "blue", api=["1"], api_green=["1"])
    runtime = Scaled({"api": serves, "api-green": begun})
    facts.connections.runtime = runtime
    registered = SimpleNamespace(executors={"runtime": lambda connections: Starts(connections.runtime)})
    monkeypatch.setattr(traffic, "registered", lambda: registered)

    async def write(text: str) -> None:
        assert text == "api wants 6 instances now, so that api-green gets as many\n"

    effect = {"component": "api", "side": "green", "version": "2", "within": 9.0, "tests": []}
    await as_many(facts.connections, effect, "it", SimpleNamespace(write=write))
    assert runtime.wanted == {"api": serves, "api-green": proven}
