"""Procedures over a whole system: their order, and what they wait for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from opsbook.book.catalogue import Risk
from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.engine.compile import load_procedures
from opsbook.engine.expressions import holds
from opsbook.engine.procedure import OnFailure, Procedure
from opsbook.upkeep.order import in_order, replicas_first
from opsbook.upkeep.whole import families

COMPONENTS: dict[str, dict[str, Any]] = {
    "api": {"kind": "http", "url": "http://api", "workload": "api", "depends_on": ["cache", "database"]},
    "cache": {"kind": "redis", "url": "redis://r", "depends_on": ["broker"]},
    "broker": {"kind": "redis", "url": "redis://r", "workload": "redis"},
    "copy": {"kind": "postgres", "dsn": "postgresql://c", "workload": "copy", "depends_on": ["database"]},
    "database": {"kind": "postgres", "dsn": "postgresql://d", "workload": "postgres"},
    "read-only": {"kind": "workload", "workload": "api"},
    "cluster": {"kind": "cluster"},
    "host": {"kind": "host"},
}
CHECKS = [
    {"id": "api-up", "observe": "http.up", "of": "api"},
    {"id": "slow", "observe": "http.latency_p95", "of": "api", "critical": "> 1s"},
    {"id": "database-up", "observe": "postgres.up", "of": "database"},
    {"id": "nodes", "observe": "cluster.nodes_away", "of": "cluster"},
]


def book(folder: Path, runtime: dict[str, Any] | None, **keys: Any) -> System:
    environment = {"policy": "open", **({"runtime": runtime} if runtime else {})}
    backups = [{"id": "nightly", "of": "database", "to": "store"}]
    components = keys.pop("components", COMPONENTS)
    written = {"opsbook": 1, "system": "t", "environments": {"test": environment}, "components": components,
               "checks": CHECKS, "backups": backups, **keys}  # fmt: skip
    (folder / "book.yaml").write_text(yaml.safe_dump(written))
    return in_environment(load_book(folder / "book.yaml", catalogue()))


CLUSTER = {"kind": "kubernetes", "namespace": "shop"}


def test_each_comes_after_what_it_needs_and_a_workload_only_once(tmp_path: Path) -> None:
    system = book(tmp_path, CLUSTER)
    assert in_order(system) == ["broker", "database", "api", "copy"]
    assert replicas_first(system, in_order(system)) == ["copy", "broker", "database", "api"]


def test_the_next_one_waits_until_what_is_vital_is_well(tmp_path: Path) -> None:
    system = book(tmp_path, CLUSTER)
    found = load_procedures(system, catalogue(), dict(families(system)))
    assert [step.id for step in found["restart-all"].steps] == [
        "renew-broker", "renew-database", "well-database", "renew-api", "well-api", "renew-copy"
    ]  # fmt: skip
    assert found["restart-all"].risk is Risk.DISRUPTIVE
    assert "checks: [api-up]" in dict(families(system))["restart-all"], "what is only slow holds nothing up"


def updates(system: System) -> Procedure:
    return load_procedures(system, catalogue(), dict(families(system)))["update-system"]


def test_an_update_takes_backups_first_and_leaves_what_has_no_version(tmp_path: Path) -> None:
    found = updates(book(tmp_path, CLUSTER))
    ids = [step.id for step in found.steps]
    assert (
        ids.index("backup-nightly") < ids.index("update-copy") < ids.index("update-database") < ids.index("update-api")
    )
    assert {one.name for one in found.parameters} == {"broker", "database", "api", "copy"}
    assert ids[0] == "host-packages"
    assert {step.when for step in found.steps if step.id.endswith("-api") and step.id != "backup-nightly"} == {
        "api != ''"
    }


FRONT = {"kind": "proxy", "url": "http://front", "workload": "nginx",
         "maintenance": {"include": "closed.conf", "pid_file": "nginx.pid"}}  # fmt: skip
SIDES = {"strategy": "blue-green", "blue": "api", "green": "api-green", "switch": "side.conf", "proxy": "front",
         "blue_url": "http://b", "green_url": "http://g"}  # fmt: skip
MIGRATIONS = {"of": "database", "folder": "releases/{version}"}
GATES = [{"id": "tests", "kind": "command", "command": ["passed", "{version}"]},
         {"id": "told", "kind": "person", "text": "Somebody told the others"}]  # fmt: skip


def test_an_update_closes_the_front_and_all_of_it_goes_back_where_one_part_is_bad(tmp_path: Path) -> None:
    deploys = {"components": {"api": SIDES}, "migrations": MIGRATIONS, "gates": GATES}
    components = {**COMPONENTS, "front": FRONT, "api": {**COMPONENTS["api"], "depends_on": ["front", "database"]}}
    found = updates(book(tmp_path, CLUSTER, components=components, deploys=deploys, maintenance={"of": "front"}))
    steps = {step.id: step for step in found.steps}
    order = ["gate-tests-api", "well", "before-api", "backup-nightly", "enter", "update-database", "schema",
             "bring-up-api", "switch-api", "serves-api", "leave", "all-well", "watch-api", "retire-api"]  # fmt: skip
    assert [name for name in steps if name in order] == order
    after = [*steps][[*steps].index("enter") :]
    assert {steps[name].on_failure for name in after if name != "retire-api"} == {OnFailure.UNDO}
    assert steps["schema"].when == "(schema_version or api) != ''"
    assert steps["serves-api"].when == "not maintenance and api != ''", "the front shows a banner meanwhile"
    assert steps["switch-api"].body["parameters"]["ask"] == "{{ not maintenance }}"
    assert steps["gate-tests-api"].body["script"] == "passed {{ api }}"
    assert {"schema_version", "maintenance"} <= {one.name for one in found.parameters}
    assert holds(steps["enter"].when, {**VERSIONS, "front": "", "maintenance": True, "schema_version": "2"})


VERSIONS = {"api": "", "broker": "", "copy": "", "database": "", "worker": "", "about": "", "schema_version": ""}


@pytest.mark.parametrize(
    ("migrations", "version"),
    [
        (MIGRATIONS, "schema_version or worker or api"),
        ({**MIGRATIONS, "inside": "api"}, "schema_version or api or worker"),
    ],
)
def test_whatever_reads_the_schema_is_updated_after_it(
    tmp_path: Path, migrations: dict[str, str], version: str
) -> None:
    reads = {"kind": "workload", "workload": "worker", "depends_on": ["database"]}
    components = {"about": {"kind": "workload", "workload": "about"}, "worker": reads, **COMPONENTS}
    deploys = {"components": {"about": {"wait": "1m"}, "worker": {"wait": "1m"}}, "migrations": migrations}
    found = updates(book(tmp_path, CLUSTER, components=components, deploys=deploys))
    steps = {step.id: step for step in found.steps}
    ids = [name for name in steps if name in ("update-about", "schema", "update-worker", "update-api")]
    assert ids == ["update-about", "schema", "update-api", "update-worker"]
    assert steps["schema"].body["parameters"]["version"] == "{{ " + version + " }}"
    assert holds(steps["schema"].when, {**VERSIONS, "worker": "2"}), "the worker alone reads it too"
    assert not holds(steps["schema"].when, {**VERSIONS, "about": "2"}), "it reads no database"


def test_where_the_book_does_not_say_who_reads_the_schema_all_may(tmp_path: Path) -> None:
    components = {
        "database": COMPONENTS["database"],
        "worker": {"kind": "workload", "workload": "w"},
        "ui": {"kind": "workload", "workload": "ui"},
    }
    checks = [{"id": "database-up", "observe": "postgres.up", "of": "database"}]
    found = updates(book(tmp_path, CLUSTER, components=components, deploys={"migrations": MIGRATIONS}, checks=checks))
    assert [step.when for step in found.steps if step.id == "schema"] == ["(schema_version or ui or worker) != ''"]


def test_a_switch_by_labels_is_given_its_time_in_an_update_too(tmp_path: Path) -> None:
    sides = {"strategy": "blue-green", "blue": "api", "green": "api-green", "labels": {"traefik.enable": "true"}}
    found = updates(book(tmp_path, {"kind": "compose"}, deploys={"wait": "5m", "components": {"api": sides}}))
    (switch,) = [step for step in found.steps if step.id == "switch-api"]
    assert switch.timeout == 20 * 60


def test_on_one_host_all_that_runs_from_its_releases_is_of_one_version(tmp_path: Path) -> None:
    components = {**COMPONENTS, "worker": {"kind": "workload", "workload": "worker"}}
    runtime = {"kind": "supervisor", "config": "s.conf", "releases": "releases", "current": "current"}
    found = updates(book(tmp_path, runtime, components=components))
    (step,) = [step for step in found.steps if step.id == "one-version"]
    assert found.steps[0] is step, "before anything else"
    assert not holds(step.when, {"api": "2", "worker": "", "read_only": "2"})
    assert holds(step.when, {"api": "2", "worker": "3", "read_only": ""})


def test_what_must_be_stopped_before_its_new_version_starts_is_not_rolled_by_an_update(tmp_path: Path) -> None:
    found = updates(book(tmp_path, CLUSTER, deploys={"components": {"api": {"strategy": "recreate"}}}))
    (step,) = [step for step in found.steps if step.id.startswith("recreate-")]
    assert (step.id, step.when) == ("recreate-api", "api != ''")
    assert "api to be stopped before its new version starts" in step.body["script"]
    assert [*found.steps].index(step) < [one.id for one in found.steps].index("backup-nightly")


def test_a_component_may_be_named_like_a_word_of_the_language(tmp_path: Path) -> None:
    components = {
        **COMPONENTS,
        "status": {"kind": "workload", "workload": "s"},
        "9.a": {"kind": "workload", "workload": "n"},
    }
    found = updates(book(tmp_path, CLUSTER, components=components))
    assert {"version_of_status", "version_of_9_a"} <= {one.name for one in found.parameters}


def test_a_node_is_emptied_worked_on_and_used_again(tmp_path: Path) -> None:
    system = book(tmp_path, CLUSTER)
    found = load_procedures(system, catalogue(), dict(families(system)))["maintain-node"]
    kinds = [step.id for step in found.steps]
    assert kinds[:2] == ["before", "drain"]
    assert kinds[3:] == ["uncordon", "serves", "well"]


def test_without_a_runtime_or_a_cluster_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert list(families(book(tmp_path, None))) == []
    compose = dict(families(book(tmp_path, {"kind": "compose"})))
    assert set(compose) == {"restart-all", "update-system"}


def test_a_command_of_the_book_does_the_work_on_a_node(tmp_path: Path) -> None:
    system = book(tmp_path, CLUSTER, maintenance={"node": ["/opt/patch node.sh", "--reboot", "$(id)"]})
    text = dict(families(system))["maintain-node"]
    found = load_procedures(system, catalogue(), dict(families(system)))["maintain-node"]
    assert [step.id for step in found.steps] == ["before", "drain", "work", "uncordon", "serves", "well"]
    assert "NODE={{ node }} '/opt/patch node.sh' --reboot '$(id)'" in text
