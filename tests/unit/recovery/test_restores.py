"""Restores and drills written out for the components of a book."""

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
from opsbook.recovery.packaged import packaged_procedures
from opsbook.recovery.restored import write_stop
from opsbook.recovery.restores import drilled_by, families, writers
from opsbook.store.runs import StepRow

RENEC = Path(__file__).parents[3] / "examples" / "renec" / "ops" / "book.yaml"
DATABASE = {"kind": "postgres", "dsn": "postgresql://localhost/shop"}
NIGHTLY = {"id": "nightly", "of": "database", "to": "store"}


def system_of(folder: Path, components: dict[str, Any], **keys: Any) -> System:
    book = {"opsbook": 1, "system": "t", "environments": {"test": {}}, "components": components, **keys}
    path = folder / "book.yaml"
    path.write_text(yaml.safe_dump(book))
    return in_environment(load_book(path, catalogue()))


@pytest.fixture(scope="module")
def renec() -> System:
    return in_environment(load_book(RENEC, catalogue()), "rehearsal")


def test_who_gives_work_is_stopped_first_and_who_does_not_write_is_not(renec: System) -> None:
    assert writers(renec, "database") == ["scheduler", "worker", "api"]


def test_every_procedure_of_the_example_compiles_with_its_risk(renec: System) -> None:
    found = load_procedures(renec, catalogue(), packaged_procedures(renec))
    risks = {name: found[name].risk for name in packaged_procedures(renec) if name.startswith(("restore-", "drill-"))}
    assert risks == {
        "restore-database": Risk.SAFE,
        "restore-database-switch": Risk.DESTRUCTIVE,
        "restore-database-in-place": Risk.DESTRUCTIVE,
        "restore-database-tables": Risk.DESTRUCTIVE,
        "restore-database-back": Risk.DESTRUCTIVE,
        "restore-database-at": Risk.SAFE,
        "restore-database-at-switch": Risk.DESTRUCTIVE,
        "restore-database-at-tables": Risk.DESTRUCTIVE,
        "restore-artifacts": Risk.SAFE,
        "restore-certificate": Risk.DISRUPTIVE,
        "drill-database": Risk.SAFE,
        "drill-database-at": Risk.SAFE,
        "drill-failover-database": Risk.DESTRUCTIVE,
        "drill-artifacts": Risk.SAFE,
        "drill-system": Risk.SAFE,
    }
    steps = [step.id for step in found["restore-database-switch"].steps]
    assert steps == [
        "restore", "safety", "stop-scheduler", "stop-worker", "stop-api", "switch", "start-api", "start-worker",
        "start-scheduler", "well", "smoke-api", "smoke-ui",
    ]  # fmt: skip


def test_a_book_of_one_database_needs_no_other_component(tmp_path: Path) -> None:
    system = system_of(tmp_path, {"database": DATABASE}, backups=[NIGHTLY])
    found = load_procedures(system, catalogue(), dict(families(system)))
    assert [step.id for step in found["restore-database-switch"].steps] == ["restore", "safety", "switch"]


def test_drills_of_the_book_say_what_they_measure(tmp_path: Path) -> None:
    weekly = {"id": "weekly", "of": ["database", "system"], "backup": "second", "assertions": ["rows"]}
    system = system_of(
        tmp_path,
        {"database": DATABASE},
        backups=[{**NIGHTLY, "id": "first", "method": "schema"}, NIGHTLY, {**NIGHTLY, "id": "second"}],
        objectives={"database": {"rto": "1h"}, "system": {"rto": "2h"}},
        assertions=[{"id": "rows", "of": "database", "sql": "SELECT 1"}],
        drills=[weekly],
    )
    assert drilled_by(system) == {
        "drill-database": ("", ("database",)),
        "drill-weekly": ("weekly", ("database", "system")),
    }
    texts = packaged_procedures(system)
    assert "default: nightly" in texts["drill-database"], "a backup of all of it before one of its schema"
    assert "default: second" in texts["drill-weekly"] and "assertions: [rows]" in texts["drill-weekly"]


def test_writes_are_stopped_from_the_first_order_to_stop_until_the_last_start(tmp_path: Path) -> None:
    def step(name: str, start: float, end: float) -> tuple[str, StepRow]:
        return name, StepRow("run", name, 0, "done", "", "", "", start, end)

    rows = dict(
        [step("restore", 0, 50), step("stop-api", 50, 52), step("start-api", 53, 55), step("start-worker", 55, 60.5)]
    )
    assert write_stop(rows) == 10.5
    assert write_stop(dict([step("restore", 0, 50)])) is None
