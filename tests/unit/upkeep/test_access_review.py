"""The review of access that a book has by its checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.unit.recovery.test_restores import DATABASE, system_of

from opsbook.catalogue import catalogue
from opsbook.engine.compile import load_procedures
from opsbook.upkeep.access import families

ROLES = {"id": "roles", "observe": "postgres.unexpected_roles", "of": "database", "with": {"allowed": ["app"]}}


def book(folder: Path, **keys: Any) -> Any:
    return system_of(folder, {"database": DATABASE}, **keys)


def test_a_book_that_allows_nothing_has_no_review(tmp_path: Path) -> None:
    assert dict(families(book(tmp_path))) == {}


def test_the_review_gathers_evidence_asks_people_and_ends_with_the_checks(tmp_path: Path) -> None:
    system = book(tmp_path, checks=[ROLES], access={"operator": ["ana", "group:{{ ops }}"], "everybody": "viewer"})
    found = load_procedures(system, catalogue(), dict(families(system)))["access-review"]
    assert found.steps[0].id == "roles-database"
    assert [step.kind for step in found.steps] == ["sql", "person", "op", "person", "check"]
    assert found.risk == "read"
    text = dict(families(system))["access-review"]
    assert "operator: ana, group:?? ops ??; everybody else: viewer" in text
    assert "   - roles\n" in text
