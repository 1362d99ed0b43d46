"""`python -m opsbook.manual`: reading one manual from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from opsbook.errors import UsageError
from opsbook.manual.__main__ import main


def test_it_prints_what_a_manual_says_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "manual.md"
    path.write_text("# Kestrel Runbook\n\n- **RTO**: 1 hour\n", encoding="utf-8")
    assert main(["import", str(path), "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["system"]["name"], answer["objectives"][0]["value"]) == ("Kestrel", "1h")


def test_it_prints_a_summary_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "manual.md"
    path.write_bytes(b"# Kestrel Runbook\n\n\xff\xfe not utf-8\n")
    assert main(["import", str(path)]) == 0
    assert capsys.readouterr().out.startswith("Kestrel\n")


def test_it_says_which_file_it_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.md"):
        main(["import", str(tmp_path / "gone.md")])
