"""Evidence as files: what an archive says of itself, and that a file is whole, its owner's alone and never replaced."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from opsbook.connectors.preserved import held_against_its_list, packed, unpacked, write

PARTS = [("logs.txt", b"one\n"), ("missing.json", b"[]")]


def test_an_archive_lists_what_it_holds() -> None:
    data = packed("api-1", PARTS, 1.0, {"subject": "api"})
    assert held_against_its_list(data) == (2, [])
    found = unpacked(data)
    assert found["logs.txt"] == b"one\n"
    assert b'"subject": "api"' in found["manifest.json"]


def test_what_is_no_archive_is_told_and_not_raised() -> None:
    files, wrong = held_against_its_list(b"no archive")
    assert files == 0
    assert wrong[0].startswith("it cannot be read as an archive of evidence")


def test_a_file_is_its_owners_alone_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "a", b"one")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o400
    assert os.listdir(tmp_path) == ["a"]


def test_a_file_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    write(tmp_path / "a", b"one")
    with pytest.raises(FileExistsError):
        write(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["a"]
