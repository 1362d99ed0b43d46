"""The version before: never one that was gone back from."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opsbook.connectors.runtimes.succession import before, succession
from opsbook.connectors.runtimes.supervisor_releases import Releases


@pytest.mark.parametrize(
    ("deployed", "now", "wanted"),
    [
        ("1 2 3", "3", "2"),
        ("1 2 3 2", "2", "1"),  # 3 was bad
        ("1 2 1 2 3 2", "2", "1"),
        ("1 2 1", "1", ""),
        ("1 2", "9", "2"),  # somebody else brought 9
        ("", "1", ""),
    ],
)
def test_it_is_never_one_that_was_gone_back_from(deployed: str, now: str, wanted: str) -> None:
    assert before(deployed.split(), now) == wanted


def test_what_follows_a_version_that_comes_again_is_forgotten() -> None:
    assert succession(["1", "2", "3", "2", "4"]) == ["1", "2", "4"]


def test_releases_of_a_host_know_it_by_their_record(tmp_path: Path) -> None:
    for number, version in enumerate(("1", "2", "3", "4")):
        (tmp_path / "releases" / version).mkdir(parents=True)
        os.utime(tmp_path / "releases" / version, (number, number))
    (tmp_path / "current").symlink_to("releases/2")
    releases, now = Releases(tmp_path / "releases", tmp_path / "current"), datetime(2026, 1, 1, tzinfo=UTC)
    assert releases.previous() == "1", "the next older, where nothing was deployed yet"
    for number, version in enumerate(("3", "4", "3")):
        releases.switch(version, now + timedelta(minutes=number))
    assert releases.previous() == "2", "4 was gone back from"
    assert [one.version for one in releases.revisions()] == ["1", "4", "2", "3"]
    assert [one.version for one in releases.revisions() if one.left] == ["4"]
    releases.switch("2", now + timedelta(hours=1))
    assert releases.previous() == "1", "and never one that is newer"


def test_a_release_that_was_brought_for_tomorrow_is_not_before_the_one_that_runs(tmp_path: Path) -> None:
    for number, version in enumerate(("1", "2", "3")):
        (tmp_path / "releases" / version).mkdir(parents=True)
        os.utime(tmp_path / "releases" / version, (number, number))
    (tmp_path / "current").symlink_to("releases/1")
    releases = Releases(tmp_path / "releases", tmp_path / "current")
    releases.switch("2", datetime(2026, 1, 1, tzinfo=UTC))
    shutil.rmtree(tmp_path / "releases" / "1")
    assert releases.previous() == ""
    assert [(one.version, one.current) for one in releases.revisions()] == [("2", True), ("3", False)]
