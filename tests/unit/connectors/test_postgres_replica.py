"""The data folder of a read replica: what is never overwritten or deleted, and how its settings are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsbook.connectors.postgres_replica import MADE, SIGNAL, free_for_copy, quoted, take_away
from opsbook.errors import Refused


def made(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in (MADE, *names):
        (folder / name).touch()
    return folder


def test_a_replica_that_was_promoted_is_neither_deleted_nor_copied_over(tmp_path: Path) -> None:
    data = made(tmp_path / "data")
    for act in (lambda: take_away(data, delete=True), lambda: free_for_copy(data)):
        with pytest.raises(Refused, match="promoted"):
            act()
    assert (data / MADE).exists()


def test_a_folder_beside_it_that_is_somebody_else_s_stays(tmp_path: Path) -> None:
    data, other = made(tmp_path / "data", SIGNAL), tmp_path / "data.removed"
    other.mkdir()
    (other / "kept").touch()
    with pytest.raises(Refused, match="in the way"):
        take_away(data, delete=True)
    assert (other / "kept").exists()
    assert data.exists()


def test_what_a_removal_that_was_cut_off_has_left_is_deleted(tmp_path: Path) -> None:
    made(tmp_path / "data.removed", SIGNAL)
    (tmp_path / "data.copying").mkdir()
    assert take_away(tmp_path / "data", delete=True) == "its data folder is deleted"
    assert not list(tmp_path.iterdir())


def test_one_that_was_kept_beside_stays_where_nothing_is_to_be_deleted(tmp_path: Path) -> None:
    made(tmp_path / "data.removed", SIGNAL)
    take_away(tmp_path / "data", delete=False)
    assert (tmp_path / "data.removed").exists()


def test_a_password_with_quotes_and_backslashes_stands_in_a_setting_as_the_server_reads_it() -> None:
    assert quoted(r"password=a\'b\\c") == r"'password=a\\''b\\\\c'"
