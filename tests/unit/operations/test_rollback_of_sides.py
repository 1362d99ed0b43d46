"""A rollback that names no version: of two sides to what the other one ran, in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from tests.unit.operations.facts import FakeFacts, plan

from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.connectors.change import Change
from opsbook.connectors.runtimes.contract import Revision, Verb
from opsbook.connectors.sides import version_before


class Runtime:
    """Tells the revisions of each workload, the newest last, and what it was asked to change."""

    capabilities = frozenset(verb.value for verb in Verb)

    def __init__(self, kept: Mapping[str, Sequence[str]]) -> None:
        self.kept = kept

    async def revisions(self, workload: str) -> list[Revision]:
        versions = self.kept[workload]
        return [Revision(number, one, None, number == len(versions)) for number, one in enumerate(versions, 1)]

    async def change(self, workload: str, verb: Verb, arguments: Mapping[str, Any]) -> Change:
        return Change("runtime", {"workload": workload, "verb": verb.value, **arguments}, inverse="made up")


class Sided(FakeFacts):
    """Facts of a component with two sides behind a proxy, of which `active` has the traffic."""

    def __init__(self, folder: Path, active: str, **kept: Sequence[str]) -> None:
        for side in ("blue", "green"):
            (folder / f"side.conf.{side}").write_text(f"server {side};\n")
        (folder / "side.conf").write_text(f"server {active};\n")
        sides = {"blue": "api", "green": "api-green", "switch": "side.conf", "proxy": "proxy"}
        url = "http://127.0.0.1:1"
        (folder / "compose.yaml").write_text("services: {}\n")
        runtime = {"kind": "compose", "file": "compose.yaml"}
        (folder / "book.yaml").write_text(yaml.safe_dump({
            "opsbook": 1, "system": "shop", "environments": {"test": {"policy": "open", "runtime": runtime}},
            "components": {"api": {"kind": "http", "url": url, "workload": "api"},
                           "proxy": {"kind": "proxy", "url": url, "workload": "proxy",
                                     "reload": {"command": ["nginx", "-s", "reload"]}}},
            "deploys": {"components": {"api": sides}},
        }))  # fmt: skip
        super().__init__(in_environment(load_book(folder / "book.yaml", catalogue())), {})
        self.runtime = Runtime({name.replace("_", "-"): versions for name, versions in kept.items()})
        self.connections: Any = SimpleNamespace(system=self.system, runtime=self.runtime)

    def connector(self, component: str) -> Any:
        return SimpleNamespace(connections=self.connections)


async def rolled(facts: Sided, **parameters: Any) -> dict[str, Any]:
    effect: dict[str, Any] = (await plan("workload.rollback", facts, of="api", **parameters))[0].effect
    return effect


@pytest.mark.parametrize(
    ("active", "blue", "green", "workload", "verb"),
    [
        ("green", ["1"], ["2"], "api-green", "deploy"),
        ("green", ["1"], ["1", "2"], "api-green", "rollback"),
        ("blue", ["2", "3"], ["2"], "api", "rollback"),
        ("blue", ["3"], ["1", "2"], "api", "deploy"),
    ],
)
async def test_it_goes_to_what_the_other_side_ran_whether_or_not_this_one_did(
    tmp_path: Path, active: str, blue: list[str], green: list[str], workload: str, verb: str
) -> None:
    facts = Sided(tmp_path, active, api=blue, api_green=green)
    other = (green if active == "blue" else blue)[-1]
    assert await version_before(facts.connections, "api") == other
    effect = await rolled(facts)
    assert (effect["workload"], effect["verb"], effect["version"]) == (workload, verb, other)


async def test_both_sides_of_one_version_leave_it_to_the_revisions_of_the_one_that_serves(tmp_path: Path) -> None:
    facts = Sided(tmp_path, "green", api=["2"], api_green=["1", "2"])
    assert await version_before(facts.connections, "api") == ""
    effect = await rolled(facts)
    assert (effect["workload"], effect["verb"], effect.get("version")) == ("api-green", "rollback", None)


async def test_a_version_that_is_named_is_what_it_goes_to(tmp_path: Path) -> None:
    effect = await rolled(Sided(tmp_path, "green", api=["1"], api_green=["2", "3"]), version="2")
    assert (effect["workload"], effect["verb"], effect["version"]) == ("api-green", "rollback", "2")
