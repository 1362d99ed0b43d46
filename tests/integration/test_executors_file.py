"""Files written whole or not at all, with what was there kept."""

# ruff: noqa: ASYNC240  small files of the test itself

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from opsbook.book.system import System
from opsbook.connectors.change import Change, ChangeFailed
from opsbook.connectors.executors.file import digest_of, write_file
from opsbook.errors import Refused
from tests.integration.executing import apply
from tests.integration.servers import make_system


@pytest.fixture
def system(tmp_path: Path) -> System:
    return make_system(tmp_path / "book", {"api": {"kind": "http", "url": "http://127.0.0.1:1"}})


@pytest.fixture
def target(system: System) -> Path:
    path = system.folder / "app.conf"
    path.write_text("old\n")
    path.chmod(0o640)
    return path


async def test_it_writes_keeps_mode_and_owner_and_puts_back(system: System, target: Path) -> None:
    if os.geteuid() == 0:
        os.chown(target, 1, 1)
    change = write_file(system, "app.conf", "new ä\n")
    assert target.read_text() == "old\n", "planning changes nothing"
    result = await apply(system, change)
    assert (result["did"], target.read_text()) == ("written", "new ä\n")
    found = target.stat()
    assert found.st_mode & 0o777 == 0o640
    assert os.geteuid() != 0 or (found.st_uid, found.st_gid) == (1, 1)
    assert isinstance(change.inverse, Change)
    await apply(system, change.inverse)
    assert target.read_text() == "old\n"
    assert target.stat().st_mode & 0o777 == 0o640


async def test_a_new_file_is_made_with_its_mode_and_removed_again(system: System) -> None:
    change = write_file(system, "fresh.conf", "x", 0o600)
    await apply(system, change)
    assert (system.folder / "fresh.conf").stat().st_mode & 0o777 == 0o600
    assert isinstance(change.inverse, Change)
    await apply(system, change.inverse)
    assert not (system.folder / "fresh.conf").exists()


async def test_it_refuses_a_file_that_has_changed_since_it_was_planned(system: System, target: Path) -> None:
    change = write_file(system, "app.conf", "new\n")
    target.write_text("somebody else's\n")
    with pytest.raises(Refused, match="has changed since"):
        await apply(system, change)
    assert target.read_text() == "somebody else's\n"


async def test_an_undo_refuses_what_the_change_did_not_leave(system: System, target: Path) -> None:
    change = write_file(system, "app.conf", "new\n")
    await apply(system, change)
    target.write_text("mended by hand\n")
    assert isinstance(change.inverse, Change)
    with pytest.raises(Refused):
        await apply(system, change.inverse)


async def test_doing_it_twice_does_it_once(system: System, target: Path) -> None:
    change = write_file(system, "app.conf", "new\n")
    await apply(system, change)
    before = target.stat().st_mtime_ns
    assert (await apply(system, change))["did"] == "it is so already"
    assert target.stat().st_mtime_ns == before


async def test_a_link_stays_one(system: System, target: Path) -> None:
    link = system.folder / "link.conf"
    link.symlink_to(target)
    await apply(system, write_file(system, "link.conf", "new\n"))
    assert link.is_symlink() and target.read_text() == "new\n"


async def test_a_reader_sees_the_old_or_the_new_file_whole(system: System, target: Path) -> None:
    contents = ["a" * 100_000, "b" * 100_000]
    target.write_text(contents[0])
    seen: set[str] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.add(target.read_text())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for n in range(40):
            await apply(system, write_file(system, "app.conf", contents[(n + 1) % 2]))
    finally:
        stop.set()
        thread.join()
    assert seen == set(contents)


async def test_it_says_why_it_cannot_write(system: System) -> None:
    with pytest.raises(ChangeFailed, match="No such file or directory"):
        await apply(system, write_file(system, "nowhere/app.conf", "x"))
    with pytest.raises(Refused, match="no file that can be kept"):
        write_file(system, ".", "x")


async def test_a_kept_version_that_was_tampered_with_is_not_put_back(system: System, target: Path) -> None:
    change = write_file(system, "app.conf", "new\n")
    await apply(system, change)
    (kept,) = system.folder.glob(".app.conf.*.previous")
    kept.write_text("forged\n")
    assert isinstance(change.inverse, Change)
    with pytest.raises(ChangeFailed, match="was changed"):
        await apply(system, change.inverse)
    assert digest_of(target) == change.effect["digest"]
