"""Containing a breach, written out for the components of a book."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from tests.unit.recovery.test_restores import DATABASE, system_of

from opsbook.catalogue import catalogue
from opsbook.connectors.runtimes.kubernetes_rbac import needed
from opsbook.engine.access import Actor
from opsbook.engine.compile import load_procedures
from opsbook.store import checklists
from opsbook.store.database import writing
from opsbook.upkeep.containment import contained, families
from opsbook.watch.incident_facts import where_of
from opsbook.watch.security import open_security

WHEN = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)

WORKLOADS: dict[str, Any] = {
    "database": DATABASE,
    "api": {"kind": "workload", "workload": "api"},
    "worker": {"kind": "workload", "workload": "worker"},
}
ROTATION = {
    "id": "shop-database", "of": "database", "role": "shop", "every": "90d", "to": "env:app.env#DATABASE_URL",
    "restart": ["api", "worker"],
}  # fmt: skip


def book(folder: Path, kind: str = "supervisor", **keys: Any) -> Any:
    runtime = {
        "supervisor": {"kind": "supervisor", "config": "s.conf"},
        "compose": {"kind": "compose", "file": "c.yaml"},
        "kubernetes": {"kind": "kubernetes", "namespace": "shop"},
    }
    return system_of(folder, WORKLOADS, environments={"test": {"runtime": runtime[kind]}}, **keys)


def steps_of(system: Any, name: str) -> list[str]:
    found = load_procedures(system, catalogue(), dict(families(system)))[name]
    return [step.id for step in found.steps]


def test_evidence_is_kept_before_and_after_it_is_cut_off_and_credentials_die_then(tmp_path: Path) -> None:
    steps = steps_of(book(tmp_path, rotations=[ROTATION]), "contain-api")
    assert steps[:3] == ["before", "cut", "after"]
    wanted = [
        "prepare-shop-database",
        "distribute-shop-database",
        "restart-worker-shop-database",
        "retire-shop-database",
    ]
    assert steps[3:7] == wanted
    assert steps[7:10] == ["cut-shop-database", "cut-shop-database-a", "cut-shop-database-b"]


def test_what_is_cut_off_is_not_started_again_by_the_rotation(tmp_path: Path) -> None:
    text = dict(families(book(tmp_path, rotations=[ROTATION])))["contain-api"]
    assert "workload.restart: {of: api}" not in text
    assert "workload.stop: {of: api}" in text
    assert "cut: true" in text


def test_where_the_runtime_can_it_is_taken_out_of_its_networks_and_connected_again(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("services: {api: {image: a}, worker: {image: a}}\n")
    system = book(tmp_path, "compose")
    assert "workload.isolate: {of: api}" in dict(families(system))["contain-api"]
    assert steps_of(system, "release-api")[1:3] == ["reconnect", "start"]


def test_on_a_cluster_it_is_cut_off_by_a_policy_and_stopped_where_that_cuts_nothing(tmp_path: Path) -> None:
    system = book(tmp_path, "kubernetes")
    found = load_procedures(system, catalogue(), dict(families(system)))["contain-api"]
    assert [step.id for step in found.steps][:4] == ["before", "cut", "stop", "after"]
    assert found.steps[1].body["parameters"] == {"of": "api", "prove": "tell"}
    assert found.steps[2].when == "not cut.enforced"
    assert steps_of(system, "release-api")[1:3] == ["reconnect", "start"]
    rights = {one.words for one in needed(system, {"workload.isolate", "workload.stop"})}
    assert {"create networkpolicies.networking.k8s.io", "patch networkpolicies.networking.k8s.io"} <= rights


def test_what_has_no_workload_is_not_contained(tmp_path: Path) -> None:
    assert contained(book(tmp_path)) == ["contain-api", "contain-worker"]
    assert contained(book(tmp_path), "worker") == ["contain-worker"]
    assert contained(system_of(tmp_path, WORKLOADS)) == []


def test_only_a_check_that_looks_inside_gives_the_right_to_run_programs_in_pods(tmp_path: Path) -> None:
    look = {"id": "packages", "observe": "workload.vulnerable_python", "of": "api"}
    without, with_check = (
        {one.resource for one in needed(book(tmp_path, checks=checks), ("workload.stop", "workload.preserve"))}
        for checks in ([], [look])
    )
    assert "pods/exec" not in without
    assert "pods/exec" in with_check


def test_the_list_of_a_security_incident_names_what_contains_its_component(tmp_path: Path, store: Engine) -> None:
    system = book(tmp_path)
    with writing(store) as connection:
        one = open_security(connection, system, Actor("ana", "a test"), "odd answers", WHEN, component="api")
        (opened,) = checklists.not_done(connection, where_of(system))
    assert opened.subject == f"incident:{one.id}"
    assert opened.items[0].text.endswith(": opsbook run contain-api")
