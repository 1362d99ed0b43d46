"""`scaling` of a book: what is applied to a cluster, and what scaling by hand may not leave."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from tests.unit.operations.facts import FakeFacts, plan

from opsbook.book.delivery import Scaling
from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.connectors.change import Change
from opsbook.connectors.runtimes.contract import Verb
from opsbook.engine.compile import load_procedures
from opsbook.errors import Refused
from opsbook.upkeep.scaling import bounds_of, families, limits_of

CLUSTER = {"kind": "kubernetes", "namespace": "shop"}
API = {
    "min": 2, "max": 6, "cpu": "70%",
    "requests": {"cpu": "250m", "memory": "512MiB"}, "limits": {"memory": "1Gi"},
}  # fmt: skip


def book(folder: Path, scaling: dict[str, Any], runtime: dict[str, Any] | None = None) -> System:
    components = {
        "api": {"kind": "workload"},
        "database": {"kind": "postgres", "dsn": "postgresql://localhost/shop"},
    }
    environment = {"policy": "open", **({"runtime": runtime} if runtime else {})}
    written = {"opsbook": 1, "system": "t", "environments": {"test": environment}, "components": components}
    (folder / "book.yaml").write_text(yaml.safe_dump({**written, "scaling": scaling}))
    return in_environment(load_book(folder / "book.yaml", catalogue()))


def test_it_is_applied_as_limits_and_as_bounds_of_the_autoscaler(tmp_path: Path) -> None:
    system = book(tmp_path, {"api": API}, CLUSTER)
    found = load_procedures(system, catalogue(), dict(families(system)))
    assert [step.id for step in found["apply-scaling-api"].steps] == ["limits", "bounds"]
    text = dict(families(system))["apply-scaling-api"]
    assert 'workload.limits: {of: api, cpu_request: "250m", memory_request: "512Mi", memory_limit: "1Gi"}' in text
    assert "2. Let its autoscaler" in text and "autoscaler.set: {of: api, least: 2, most: 6}" in text


@pytest.mark.parametrize(
    ("scaling", "runtime"),
    [
        ({"api": API}, None),
        ({"database": API}, CLUSTER),
        ({"api": {"min": 1, "max": 3}}, CLUSTER),
    ],
    ids=["no cluster", "no workload", "bounds by hand alone"],
)
def test_where_there_is_nothing_to_set_there_is_no_procedure(
    tmp_path: Path, scaling: dict[str, Any], runtime: dict[str, Any] | None
) -> None:
    assert dict(families(book(tmp_path, scaling, runtime))) == {}


def test_amounts_are_written_as_the_cluster_knows_them() -> None:
    assert limits_of(Scaling.model_validate({"limits": {"memory": "512KB"}})) == {"memory_limit": "512k"}
    assert limits_of(Scaling.model_validate({"requests": {"cpu": "2", "memory": "1000000B"}})) == {
        "cpu_request": "2",
        "memory_request": "1000000",
    }


def test_an_autoscaler_is_never_let_to_none() -> None:
    assert bounds_of(Scaling.model_validate({"min": 0, "max": 3, "memory": "80%"})) == {"most": "3"}


class Anywhere:
    """A runtime that plans every scaling."""

    capabilities = frozenset({Verb.SCALE.value})

    async def change(self, workload: str, verb: Verb, arguments: dict[str, Any]) -> Change:
        return Change("argv", {"workload": workload, **arguments}, inverse="none")


class ScaledFacts(FakeFacts):
    runtime = Anywhere()

    def connector(self, component: str) -> Any:
        return SimpleNamespace(connections=SimpleNamespace(system=self.system))


async def test_by_hand_it_stays_within_the_bounds_of_the_book(tmp_path: Path) -> None:
    facts = ScaledFacts(book(tmp_path, {"api": {"min": 2, "max": 4}}), {})
    for replicas in (2, 4):
        (change,) = await plan("workload.scale", facts, of="api", replicas=replicas)
        assert change.effect["replicas"] == replicas
    with pytest.raises(Refused, match="5 instances of api are outside `scaling` of the book: at most 4"):
        await plan("workload.scale", facts, of="api", replicas=5)
    with pytest.raises(Refused, match="1 instances of api are outside `scaling` of the book: at least 2"):
        await plan("workload.scale", facts, of="api", replicas=1)


async def test_a_component_that_scaling_does_not_name_is_free(tmp_path: Path) -> None:
    facts = ScaledFacts(book(tmp_path, {}), {})
    assert len(await plan("workload.scale", facts, of="api", replicas=50)) == 1
