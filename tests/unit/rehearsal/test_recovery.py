"""Which of opsbook's own procedures a rehearsal of recovery takes, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.unit.rehearsal.conftest import BOOK

from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.recovery.packaged import packaged_procedures
from opsbook.rehearsal.recovery import recovery_of

RENEC = Path(__file__).parents[3] / "examples" / "renec"
SERVERS = [{"workload": name, "url": f"${{{name.upper()}_URL}}"} for name in ("one", "two")]


def test_backups_are_verified_before_restores_and_a_failover_is_last(tmp_path: Path) -> None:
    database = {"kind": "postgres", "dsn": "${DATABASE_URL}", "workload": "one", "failover": {"servers": SERVERS}}
    written = {
        **BOOK,
        "components": {**BOOK["components"], "database": database},  # type: ignore[dict-item]
        "backups": [
            {"id": "nightly", "of": "database", "method": "dump", "to": "/backups"},
            {"id": "elsewhere", "of": "database", "method": "dump", "to": "/backups", "environments": ["other"]},
        ],
        "environments": {"test": {"policy": "open", "disposable": True}, "other": {}},
    }
    path = tmp_path / "book.yaml"
    path.write_text(yaml.safe_dump(written))
    system = in_environment(load_book(path, catalogue()), "test")
    assert recovery_of(system, packaged_procedures(system)) == [
        "backup-nightly", "backup-nightly-verify", "restore-database", "restore-database-switch", "drill-database",
        "drill-failover-database",
    ]  # fmt: skip


@pytest.mark.parametrize("environment", ["rehearsal", "compose", "kubernetes"])
def test_the_example_says_wherever_it_runs_how_it_is_recovered(environment: str) -> None:
    system = in_environment(load_book(RENEC / "ops" / "book.yaml", catalogue()), environment)
    found = recovery_of(system, packaged_procedures(system))
    for name in ("backup-nightly", "restore-database", "restore-database-at", "drill-database", "drill-database-at"):
        assert name in found
    assert found[-1] == "drill-failover-database"


def test_services_of_the_example_are_told_apart_by_the_labels_of_both_servers() -> None:
    made = [one for one in yaml.safe_load_all((RENEC / "kubernetes" / "10-postgres.yaml").read_text()) if one]
    leads = {one["metadata"]["name"]: one["spec"]["selector"]["part"] for one in made if one["kind"] == "Service"}
    pods = {one["metadata"]["name"]: one["spec"]["template"] for one in made if one["kind"] == "StatefulSet"}
    assert (leads["database"], leads["database-standby"]) == ("postgres", "postgres-replica")
    assert {name: leads[name] for name in pods} == {
        name: pod["metadata"]["labels"]["part"] for name, pod in pods.items()
    }
    # Both begin by one script: each may have to follow the other.
    assert len({tuple(pod["spec"]["containers"][0]["command"][:2]) for pod in pods.values()}) == 1
