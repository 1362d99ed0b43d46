"""Archives that nobody can trust: nothing of them lands outside the place that they are given."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.inside.unpacking import digest_of, stays, unpack


def entry(name: str, kind: bytes = tarfile.REGTYPE, to: str = "", content: bytes = b"", mode: int = 0o644) -> bytes:
    one = tarfile.TarInfo(name)
    one.type, one.linkname, one.mode, one.size = kind, to, mode, len(content)
    return one.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % 512)


def unpacked(tmp_path: Path, *entries: bytes, most: int = 10_000) -> tuple[Path, list[str]]:
    target = tmp_path / "place" / "target"
    target.parent.mkdir()
    done = unpack(io.BytesIO(b"".join(entries) + bytes(1024)), target, most)
    return target, done.left_out


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "other/evil"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ReadFailed, match="evil"):
        unpacked(tmp_path, entry("a", tarfile.DIRTYPE), entry(name, content=b"x"))
    assert not list(tmp_path.rglob("*evil*"))


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    target, left_out = unpacked(
        tmp_path, entry("a", tarfile.DIRTYPE), entry("a/door", tarfile.SYMTYPE, str(outside)),
        entry("a/door/evil", content=b"x"),
    )  # fmt: skip
    assert not list(outside.iterdir())
    assert (target / "door" / "evil").read_bytes() == b"x", "it is a folder of its own"
    assert left_out == [f"a/door (a link to {outside})"]


@pytest.mark.parametrize(
    ("folder", "to", "inside"),
    [
        (".", "b", True), (".", "./b/c", True), ("x/y", "../../b", True), ("x", "../b", True),
        (".", "..", False), (".", "../b", False), ("x", "../../b", False), (".", "/b", False),
        # Through a link that leads to its own folder, as many steps down as up would lead out.
        ("x", "p/p/../../b", False), ("x", "", False),
    ],
)  # fmt: skip
def test_a_link_may_only_stay_below(folder: str, to: str, inside: bool) -> None:
    assert stays(folder, to) is inside


def test_a_second_name_of_a_file_outside_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    target, left_out = unpacked(
        tmp_path, entry("a", tarfile.DIRTYPE), entry("a/far", tarfile.SYMTYPE, str(tmp_path / "secret")),
        entry("a/hard", tarfile.LNKTYPE, "a/far"), entry("a/dev", tarfile.CHRTYPE), entry("a/pipe", tarfile.FIFOTYPE),
    )  # fmt: skip
    assert list(target.iterdir()) == []
    assert len(left_out) == 4


def test_modes_are_kept_without_setuid_and_a_file_may_be_the_whole(tmp_path: Path) -> None:
    target, _ = unpacked(tmp_path, entry("./run me", content=b"#!/bin/sh\n", mode=0o4755))
    assert target.stat().st_mode & 0o7777 == 0o755
    assert digest_of(target) != digest_of(target.parent)


@pytest.mark.parametrize("broken", [b"", b"no archive at all", entry("a", content=b"x" * 900)[:700]])
def test_what_is_no_whole_archive_is_told(tmp_path: Path, broken: bytes) -> None:
    with pytest.raises(ReadFailed):
        unpack(io.BytesIO(broken), tmp_path / "target", 10_000)


def test_it_stops_at_its_bound(tmp_path: Path) -> None:
    with pytest.raises(ReadFailed, match="larger than 10 bytes"):
        unpacked(tmp_path, entry("a", content=b"x" * 11), most=10)


def test_the_digest_of_a_folder_tells_names_links_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_text("1")
    found = {digest_of(tmp_path / "a")}
    os.symlink("one", tmp_path / "a" / "two")
    found.add(digest_of(tmp_path / "a"))
    (tmp_path / "a" / "one").write_text("2")
    found.add(digest_of(tmp_path / "a"))
    assert len(found) == 3
    assert digest_of(tmp_path / "nothing") == "absent"
