"""Importing again never overwrites an edit, and shows what differs."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.unit.importing.manuals import BAKERY

from opsbook.cli.import_ import command
from opsbook.manual.importing.digest import Fate, fate_of, marked

RESTART = "procedures/restart-the-orders.md"


@pytest.fixture
def manual(tmp_path: Path) -> Path:
    path = tmp_path / "orders.md"
    path.write_text(BAKERY, encoding="utf-8")
    return path


def run(manual: Path, *more: str) -> Result:
    out = manual.parent / "ops"
    return CliRunner().invoke(command, [str(manual), "--out", str(out), *more], standalone_mode=False)


def test_what_nobody_edited_is_renewed(manual: Path) -> None:
    run(manual)
    manual.write_text(BAKERY.replace("--replicas=2", "--replicas=4"), encoding="utf-8")
    done = run(manual)
    assert done.return_value == 0
    assert "renewed" in done.output
    assert "replicas: 4" in (manual.parent / "ops" / RESTART).read_text(encoding="utf-8")


def test_an_edit_is_kept_and_the_difference_shown(manual: Path) -> None:
    run(manual)
    path = manual.parent / "ops" / RESTART
    edited = path.read_text(encoding="utf-8").replace("Take the orders down", "Close the shop")
    path.write_text(edited, encoding="utf-8")
    manual.write_text(BAKERY.replace("Bring them back", "Open again"), encoding="utf-8")
    done = run(manual)
    assert path.read_text(encoding="utf-8") == edited
    assert done.return_value == 1
    assert "+3. Open again." in done.output
    assert "-1. Close the shop." in done.output


def test_an_edit_alone_is_no_reason_to_fail(manual: Path) -> None:
    run(manual)
    path = manual.parent / "ops" / RESTART
    path.write_text(path.read_text(encoding="utf-8") + "\nMore.\n", encoding="utf-8")
    assert run(manual).return_value == 0


def test_a_file_that_no_import_made_is_never_touched(manual: Path) -> None:
    book = manual.parent / "ops" / "book.yaml"
    book.parent.mkdir()
    book.write_text("mine\n", encoding="utf-8")
    assert run(manual).return_value == 1
    assert book.read_text(encoding="utf-8") == "mine\n"


def test_without_a_folder_nothing_is_written(manual: Path) -> None:
    CliRunner().invoke(command, [str(manual), "--format", "json"], standalone_mode=False)
    assert list(manual.parent.iterdir()) == [manual]


def test_white_space_at_line_ends_is_no_edit() -> None:
    text = marked("a: 1\nb: 2\n", "", "#")
    assert fate_of("f", text.replace("\n", "\r\n"), marked("a: 1\nb: 3\n", "", "#")).fate is Fate.RENEWED
