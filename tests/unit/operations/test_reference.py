"""What operations promise of themselves, and the page that tells it."""

from __future__ import annotations

from pathlib import Path

from opsbook.connectors.registry import registered
from opsbook.operations.described import operation_reference
from opsbook.operations.registry import operations

ROOT = Path(__file__).resolve().parents[3]


def test_the_reference_is_up_to_date() -> None:
    page = ROOT / "docs" / "reference" / "operations.md"
    made = operation_reference(list(operations().values()))
    assert page.read_text() == made, "run `opsbook operations --format markdown > docs/reference/operations.md`"


def test_every_operation_tells_of_itself() -> None:
    kinds = set(registered().components) | {"workload", "any"}
    for name, operation in operations().items():
        spec = operation.spec
        assert spec.doc.endswith("."), name
        assert set(spec.kinds) <= kinds, name
        for field, info in spec.parameters.model_fields.items():
            assert info.description, f"{name}: {field}"
