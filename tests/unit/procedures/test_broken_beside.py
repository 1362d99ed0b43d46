"""A procedure that is broken stops itself alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from opsbook.cli.procedures import command

BOOK = "opsbook: 1\nsystem: s\nenvironments: {production: {}}\ncomponents: {host: {kind: host}}\n"
GOOD = "---\ntitle: Good\nrisk: safe\n---\n1. Do.\n   ```sh risk=safe\n   true\n   ```\n"
BAD = "---\ntitle: Bad\nrisk: nothing\n---\n1. Do.\n   ```sh\n   true\n   ```\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "book.yaml").write_text(BOOK)
    (tmp_path / "procedures").mkdir()
    (tmp_path / "procedures" / "good.md").write_text(GOOD)
    (tmp_path / "procedures" / "bad.md").write_text(BAD)
    monkeypatch.setenv("OPSBOOK_STORE", str(tmp_path / "store.db"))
    return tmp_path


def test_the_others_are_listed_and_shown(folder: Path) -> None:
    book = ["--book", str(folder)]
    listed = CliRunner().invoke(command, book, standalone_mode=False)
    assert listed.return_value == 1 and "Good" in listed.stdout and "broken" in listed.stdout
    told = json.loads(CliRunner().invoke(command, [*book, "--format", "json"], standalone_mode=False).stdout)
    assert {one["name"]: "broken" in one for one in told}["bad"] is True
    assert CliRunner().invoke(command, ["show", "good", *book], standalone_mode=False).return_value == 0
    bad = CliRunner().invoke(command, ["show", "bad", *book], standalone_mode=False)
    assert "risk" in str(bad.exception) and "good" not in str(bad.exception)
