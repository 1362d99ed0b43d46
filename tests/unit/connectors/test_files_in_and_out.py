"""A fetched file that takes the place of another, cut off in between; and the undo of a secret that was copied."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, cast

import pytest
from tests.unit.operations.facts import system_of

from opsbook.connectors.change import Change
from opsbook.connectors.executors import inside_file
from opsbook.connectors.executors.fetch import _placed
from opsbook.connectors.executors.inside_file import InsideFile
from opsbook.connectors.inside.files import kept_name
from opsbook.connectors.inside.unpacking import digest_of
from opsbook.errors import Refused

OVERWRITES = {"most": 1000, "overwrite": True}


def archive(data: bytes) -> IO[bytes]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        about = tarfile.TarInfo("log")
        about.size = len(data)
        tar.addfile(about, io.BytesIO(data))
    return packed


def test_it_goes_on_where_it_was_cut_off_between_keeping_the_old_and_placing_the_new(tmp_path: Path) -> None:
    target, part = tmp_path / "log", tmp_path / ".log.part"
    target.write_bytes(b"old")
    guard = digest_of(target)
    kept = tmp_path / kept_name("log", guard)
    target.rename(kept)
    _, previous = _placed(archive(b"new"), part, target, OVERWRITES, guard)
    assert (target.read_bytes(), kept.read_bytes(), previous) == (b"new", b"old", str(kept))


@pytest.mark.parametrize("kept", [b"", b"another"])
def test_it_refuses_where_somebody_else_removed_what_was_there(tmp_path: Path, kept: bytes) -> None:
    guard = hashlib.sha256(b"old").hexdigest()
    if kept:
        (tmp_path / kept_name("log", guard)).write_bytes(kept)
    with pytest.raises(Refused, match="changed since this was planned"):
        _placed(archive(b"new"), tmp_path / ".log.part", tmp_path / "log", OVERWRITES, guard)
    assert not (tmp_path / "log").exists()


@pytest.fixture
def hand(tmp_path: Path) -> InsideFile:
    return InsideFile(cast(Any, SimpleNamespace(system=system_of(tmp_path, {"host": {"kind": "host"}}), runtime=None)))


UNDO = Change("inside-file", {"workload": "api", "instance": "", "path": "/a", "absent": True, "was": "${WORD}"})


async def test_the_undo_of_a_secret_is_guarded_by_its_digest(hand: InsideFile, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    async def put_back(*given: Any) -> str:
        asked.append(given[3:])
        return "removed"

    async def write(text: str) -> None:
        assert "the-word" not in text

    monkeypatch.setattr(inside_file, "put_back", put_back)
    monkeypatch.setenv("WORD", "the-word")
    done = await hand.apply("key", UNDO, None, cast(Any, SimpleNamespace(write=write)))
    assert asked == [("/a", "absent", hashlib.sha256(b"the-word").hexdigest())]
    assert "the-word" not in str(done)


async def test_nothing_is_removed_where_the_secret_cannot_be_read(
    hand: InsideFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORD", raising=False)
    with pytest.raises(Refused, match="cannot be told"):
        await hand.apply("key", UNDO, None, cast(Any, None))
