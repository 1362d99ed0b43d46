"""Good manuals of invented systems: lint has nothing to say."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsbook.manual.document import read_document
from opsbook.manual.lint import lint_document

CLEAN = sorted(Path(__file__).parent.joinpath("clean").glob("*.md"))


@pytest.mark.parametrize("path", CLEAN, ids=lambda path: path.stem)
def test_it_is_silent_on_a_good_manual(path: Path) -> None:
    found = lint_document(read_document(path.read_text(encoding="utf-8"), path.name))
    assert [f"{f.line}: {f.rule} {f.severity} {f.message}" for f in found] == []
