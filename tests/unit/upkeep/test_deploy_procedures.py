"""What a book says of deploys becomes procedures that compile, in the order in which they can go back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Engine, insert

from opsbook.book.inactive import inactive_keys
from opsbook.book.load import InvalidBook, load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.engine.compile import load_procedures
from opsbook.engine.earlier import unseen
from opsbook.engine.procedure import Plan, Procedure
from opsbook.engine.record import as_json
from opsbook.errors import Refused
from opsbook.recovery.packaged import packaged_procedures
from opsbook.store.database import open_store, writing
from opsbook.store.tables import runs
from opsbook.upkeep.deploys import procedure_of

GATES = [
    {"id": "tests", "kind": "command", "command": ["ci", "passed", "--of={version}", "it's"]},
    {"id": "built", "kind": "url", "url": "http://127.0.0.1:1/{version}/ok"},
    {"id": "read", "text": "Somebody has read the change"},
]


def a_system(folder: Path, environment: str = "production", **deploys: Any) -> System:
    book = {
        "opsbook": 1, "system": "shop",
        "environments": {"staging": {"policy": "open"}, "production": {"policy": "open", "after": "staging"}},
        "components": {
            "api": {"kind": "http", "url": "http://127.0.0.1:1", "workload": "api"},
            "worker": {"kind": "celery", "broker": "broker", "workload": "worker"},
            "broker": {"kind": "redis", "url": "redis://127.0.0.1:1/0"},
            "database": {"kind": "postgres", "dsn": "postgresql://127.0.0.1:1/shop"},
        },
        "backups": [{"id": "nightly", "of": "database", "method": "dump", "to": str(folder / "backups")}],
        "smoke_tests": [{"id": "list", "of": "api", "path": "/items"}],
        "deploys": {"watch": "30s", "gates": GATES, "migrations": {"folder": "releases/{version}"}, **deploys},
    }  # fmt: skip
    (folder / "book.yaml").write_text(yaml.safe_dump(book))
    return in_environment(load_book(folder / "book.yaml", catalogue()), environment)


def compiled(system: System) -> dict[str, Procedure]:
    return load_procedures(system, system.book.catalogue, packaged_procedures(system))


def test_gates_come_first_and_what_fails_later_goes_back(tmp_path: Path) -> None:
    found = compiled(a_system(tmp_path))
    steps = found["deploy-api-rolling"].steps
    ids = [one.id for one in steps]
    # The third is the person's gate, whose step has a number for a name.
    assert [*ids[:2], *ids[3:]] == [
        "gate-tests", "gate-built", "before", "backup", "schema", "deploy", "smoke", "watch",
    ]  # fmt: skip
    undone = {one.id for one in steps if one.on_failure == "undo"}
    assert undone == {"schema", "deploy", "smoke", "watch"}
    assert {"rollback-api", "rollback-api-with-schema", "deploy-api-hotfix"} <= set(found)
    assert (found["rollback-api"].risk, found["rollback-api-with-schema"].risk) == ("disruptive", "destructive")


def test_the_watch_holds_the_checks_also_of_what_answers_no_requests(tmp_path: Path) -> None:
    checks = [{"id": "api-up", "of": "api", "observe": "http.up", "groups": ["live"]},
              {"id": "ping", "of": "broker", "observe": "redis.up", "groups": ["live"]},
              {"id": "worker-up", "of": "worker", "observe": "celery.up"}]  # fmt: skip
    a_system(tmp_path, gates=[], migrations=None)
    book = yaml.safe_load((tmp_path / "book.yaml").read_text())
    book["checks"] = checks
    book["deploys"]["components"] = {"api": {"checks": ["live"]}}
    book["smoke_tests"][0]["contains"] = 'a "list": {}'
    (tmp_path / "book.yaml").write_text(yaml.safe_dump(book))
    system = in_environment(load_book(tmp_path / "book.yaml", catalogue()), "production")
    found = compiled(system)
    steps = {one.id: one for one in found["deploy-api-rolling"].steps}
    assert steps["before"].body["parameters"]["checks"] == ["api-up", "ping"], "a group is all of its checks"
    watch = steps["watch"].body["parameters"]
    assert (watch["path"], watch["status"], watch["contains"]) == ("/items", 200, 'a "list": {}')
    assert (watch["checks"], watch["bad_before"]) == (["api-up", "ping"], "{{ before.bad | default([]) }}")
    worker = found["deploy-worker-rolling"].steps
    assert [one.id for one in worker] == ["well", "before", "deploy", "watch", "as-before"]
    by = {one.id: one for one in worker}
    assert by["watch"].on_failure == "undo"
    assert by["watch"].body["operation"] == "checks.hold"
    assert by["watch"].body["parameters"]["for"] == "30s"
    assert by["watch"].body["parameters"]["checks"] == ["worker-up"]


def test_the_lines_of_a_checklist_are_gates(tmp_path: Path) -> None:
    lines = ["Tell the team", {"text": "It is well", "check": "up"}, {"text": "Look around", "optional": True}]
    a_system(tmp_path, gates=[])
    book = yaml.safe_load((tmp_path / "book.yaml").read_text())
    book["deploys"]["checklist"] = "before"
    book |= {"checklists": {"before": {"items": lines}}, "checks": [{"id": "up", "of": "api", "observe": "http.up"}]}
    (tmp_path / "book.yaml").write_text(yaml.safe_dump(book))
    system = in_environment(load_book(tmp_path / "book.yaml", catalogue()), "production")
    text = packaged_procedures(system)["deploy-api-rolling"]
    assert text.index("id=checklist") < text.index("Tell the team") < text.index("id=before")
    assert "Look around" not in text
    assert "checklist" in [one.id for one in compiled(system)["deploy-api-rolling"].steps]


def test_a_service_is_a_switch_and_what_lacks_is_said(tmp_path: Path) -> None:
    sides = {"strategy": "blue-green", "blue": "api", "green": "api-green"}
    system = a_system(tmp_path, gates=[], components={"api": {**sides, "service": "api"}})
    assert procedure_of(system, "api") == "deploy-api-blue-green"
    assert "deploy-api-blue-green" in compiled(system)
    with pytest.raises(InvalidBook, match="needs `switch`, `service` or `labels`"):
        a_system(tmp_path, components={"api": sides})


def test_labels_are_a_switch_that_is_given_the_time_to_make_containers_anew(tmp_path: Path) -> None:
    sides = {"strategy": "blue-green", "blue": "api", "green": "api-green", "labels": {"traefik.enable": "true"}}
    found = compiled(a_system(tmp_path, gates=[], wait="5m", components={"api": sides}))["deploy-api-blue-green"]
    (switch,) = [one for one in found.steps if one.id == "switch"]
    assert switch.timeout == 20 * 60


@pytest.mark.parametrize(("key", "value"), [("config", {"files": ["api.env"]}), ("labels", {"traefik.enable": "true"})])
def test_what_is_of_one_component_is_refused_for_all(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(InvalidBook, match=f"`{key}` is of one component, not of all") as raised:
        a_system(tmp_path, **{key: value})
    (problem,) = raised.value.problems
    assert problem.key == f"deploys.{key}"
    assert problem.place.line > 1
    assert f"`deploys.components.NAME.{key}`" in problem.hint


@pytest.mark.parametrize(
    "runtime", [{"kind": "kubernetes", "namespace": "shop"}, {"kind": "compose", "file": "c.yaml"}]
)
def test_a_configuration_is_deployed_where_it_is_known_and_the_schema_stays(
    tmp_path: Path, runtime: dict[str, str]
) -> None:
    assert "deploy-api-config" not in compiled(a_system(tmp_path))
    assert "deploy-api-config" in compiled(a_system(tmp_path, components={"api": {"config": {"files": ["api.env"]}}}))
    a_system(tmp_path)
    book = yaml.safe_load((tmp_path / "book.yaml").read_text())
    book["environments"]["production"]["runtime"] = runtime
    (tmp_path / "book.yaml").write_text(yaml.safe_dump(book))
    system = in_environment(load_book(tmp_path / "book.yaml", catalogue()), "production")
    ids = [one.id for one in compiled(system)["deploy-api-config"].steps]
    # Gates that ask about a version are left out; the person's has a number for a name.
    assert ids[1:] == ["before", "configure", "smoke", "watch", "prune"]


def test_a_version_in_a_gate_is_one_word_whatever_it_is(tmp_path: Path) -> None:
    text = packaged_procedures(a_system(tmp_path))["deploy-api-rolling"]
    assert "ci passed --of={{ version }} 'it'\"'\"'s'" in text


def test_the_strategy_is_the_books_unless_one_is_named(tmp_path: Path) -> None:
    system = a_system(tmp_path, strategy="recreate", components={"worker": {"strategy": "rolling"}})
    assert procedure_of(system, "worker") == "deploy-worker-rolling"
    with pytest.raises(Refused, match="wants api to be stopped before its new version starts"):
        procedure_of(system, "api")
    assert procedure_of(system, "api", "rolling") == "deploy-api-rolling"
    assert procedure_of(system, "api", "hotfix") == "deploy-api-hotfix"


def test_a_book_is_told_which_keys_of_deploys_do_nothing(tmp_path: Path) -> None:
    a_system(tmp_path, wave=1, components={"api": {"image": "registry.example.org/api", "wave": 2}})
    found = [path for path, _ in inactive_keys(yaml.safe_load((tmp_path / "book.yaml").read_text()))]
    api = ("deploys", "components", "api")
    assert found == [(*api, "image"), ("deploys", "wave"), (*api, "wave")]


def plan_of(system: System, name: str, **parameters: str) -> Plan:
    """What a plan says of itself, its changes left out."""
    return Plan(compiled(system)[name], parameters, system.name, "", (), "")


def seen(store: Engine, system: System, version: str, state: str, environment: str = "staging") -> None:
    with writing(store) as connection:
        row = {column.name: "" for column in runs.columns if not column.nullable and column.type.python_type is str}
        plan = plan_of(system, "deploy-api-rolling", version=version)
        row |= {"id": f"{version}-{state}-{environment}", "system": "shop", "environment": environment, "state": state,
                "procedure": "deploy-api-rolling", "parameters": json.dumps({"version": version}), "requested_at": 1.0,
                "compiled": json.dumps(as_json(plan.procedure)), "plan": json.dumps({"steps": []}),
                "woken": 0, "heard": 0, "crashes": 0}  # type: ignore[dict-item]  # fmt: skip
        connection.execute(insert(runs), [row])


@pytest.mark.parametrize(
    ("version", "state", "environment"),
    [("1.4.0", "failed", "staging"), ("1.3.0", "done", "staging"), ("1.4.0", "done", "production")],
)
def test_only_a_good_deploy_of_the_version_in_the_earlier_environment_counts(
    tmp_path: Path, version: str, state: str, environment: str
) -> None:
    store, system = open_store(f"sqlite:///{tmp_path}/store.db"), a_system(tmp_path)
    wanted = plan_of(system, "deploy-api-hotfix", version="1.4.0")
    seen(store, system, version, state, environment)
    assert unseen(store, system, wanted) == (("api", "1.4.0"),)
    seen(store, system, "1.4.0", "done")
    assert unseen(store, system, wanted) == ()
    other = plan_of(system, "deploy-worker-rolling", version="1.4.0")
    assert unseen(store, system, other) == (("worker", "1.4.0"),), "each component for itself"
    assert unseen(store, a_system(tmp_path, "staging"), wanted) == ()
