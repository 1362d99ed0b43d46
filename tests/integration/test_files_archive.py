"""Old files moved into a store: compressed, proven, and only then removed; into a folder and a bucket."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from opsbook.book.references import Reference
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.executors import files_archive
from opsbook.connectors.objectstore.addresses import open_store
from opsbook.connectors.objectstore.contract import ObjectStore
from opsbook.connectors.objectstore.folder import LEFT_SECONDS, FolderStore
from opsbook.errors import Refused
from opsbook.recovery.packaged import packaged_procedures
from tests.integration.buckets import KEY, SECRET, new_bucket
from tests.integration.hands import hands_on

pytestmark = pytest.mark.real
DAY = 86400.0


@pytest.fixture(scope="module", params=["folder", "bucket"])
def to(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path_factory.mktemp("store"))
        return
    with new_bucket() as bucket:
        yield bucket.address("archive")


def logs(folder: Path) -> dict[str, bytes]:
    """Three old ones, one of them below; a new one, one of another name, a link."""
    folder.mkdir()
    (folder / "old").mkdir()
    old = {"api.log.1": b"GET / 200\n" * 50_000, "api.log.2": b"", "old/wörker x.log.1": b"done\n"}
    for name, content in {**old, "api.log.new.1": b"new\n", "notes.txt": b"keep\n"}.items():
        (folder / name).write_bytes(content)
        age = 0.0 if "new" in name else 9 * DAY
        os.utime(folder / name, (time.time() - age,) * 2)
    (folder / "link.log.1").symlink_to("notes.txt")
    return old


def book(folder: Path, to: str) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    rule = {"id": "logs", "of": "logs", "path": f"{folder}/*.log.*", "keep": "7d", "archive_to": to}
    return {"logs": {"kind": "files", "path": str(folder)}}, {"retention": [rule]}


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


ARCHIVE = {"of": "logs", "rule": "logs", "pattern": "*.log.*", "older_than": "7d"}


async def test_it_moves_what_is_old_and_proves_it_first(tmp_path: Path, to: str) -> None:
    folder = tmp_path / "logs"
    old = logs(folder)
    components, keys = book(folder, to)
    async with hands_on(tmp_path / "book", components, **keys) as hands:
        (change,) = await hands.plan("files.archive", **ARCHIVE)
        assert change.evidence["files"] == 3
        assert len(list(folder.rglob("*.log.*"))) == 5, "planning changes nothing"
        told = await hands.apply(change)
        again = await hands.apply(change)
        store = open_store(hands.connections.system, Reference(to), "test")
    assert (told["files"], told["left"], again["files"]) == (3, [], 0)
    assert told["bytes"] == sum(map(len, old.values()))
    assert told["stored"] < told["bytes"] / 10
    assert {one.name for one in folder.rglob("*") if not one.is_dir()} == {"api.log.new.1", "notes.txt", "link.log.1"}
    kept = {one.key for one in store.list("logs")}
    assert len(kept) == 6
    first = next(key for key in kept if key.startswith("logs/api.log.1.") and key.endswith(".zst"))
    digest = hashlib.sha256(old["api.log.1"]).hexdigest()
    assert store.get(f"{first.removesuffix('.zst')}.sha256").decode().startswith(f"{digest}  api.log.1.")
    assert files_archive._proven(store, first, digest) == len(store.get(first))
    store.close()


async def test_the_original_stays_where_the_store_holds_something_else(
    tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "logs"
    logs(folder)
    components, keys = book(folder, to)
    real: Callable[..., None] = files_archive.pack

    def damaged(store: ObjectStore, key: str, file: IO[bytes]) -> None:
        real(store, key, file)
        store.delete(key)
        store.put(key, b"not what was sent")

    monkeypatch.setattr(files_archive, "pack", damaged)
    monkeypatch.setattr(files_archive, "_proven", _fresh(files_archive._proven))
    async with hands_on(tmp_path / "book", components, **keys) as hands:
        with pytest.raises(ChangeFailed, match="is not what was sent"):
            await hands.do("files.archive", **ARCHIVE)
    assert len(list(folder.rglob("*.log.*"))) == 5, "nothing was removed"


def _fresh(proven: Callable[..., int]) -> Callable[..., int]:
    """As in a store that holds nothing yet."""
    seen: set[str] = set()

    def look(store: ObjectStore, key: str, digest: str) -> int:
        if key not in seen:
            seen.add(key)
            store.delete(key)
        return proven(store, key, digest)

    return look


async def test_what_somebody_writes_to_stays(tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "logs"
    logs(folder)
    components, keys = book(folder, to)
    real: Callable[..., None] = files_archive.pack

    def written_to(store: ObjectStore, key: str, file: IO[bytes]) -> None:
        real(store, key, file)
        path = Path(file.name)
        if path.name == "api.log.1":
            with path.open("ab") as late:
                late.write(b"a late line\n")

    monkeypatch.setattr(files_archive, "pack", written_to)
    monkeypatch.setattr(files_archive, "_proven", _fresh(files_archive._proven))
    async with hands_on(tmp_path / "book", components, **keys) as hands:
        told = await hands.do("files.archive", **ARCHIVE)
    assert told["left"] == ["api.log.1"]
    assert (folder / "api.log.1").read_bytes().endswith(b"a late line\n")


async def test_the_rule_of_the_book_is_a_procedure(tmp_path: Path, to: str) -> None:
    folder = tmp_path / "logs"
    logs(folder)
    components, keys = book(folder, to)
    async with hands_on(tmp_path / "book", components, **keys) as hands:
        text = packaged_procedures(hands.connections.system)["retention-logs"]
        with pytest.raises(Refused, match="no rule other"):
            await hands.plan("files.archive", **{**ARCHIVE, "rule": "other"})
        with pytest.raises(Refused, match="more than the 2 allowed"):
            await hands.plan("files.archive", **{**ARCHIVE, "most": 2})
    assert 'files.archive: {of: logs, rule: logs, pattern: "*.log.*", older_than: 7d}' in text
    assert "risk: disruptive" in text


async def test_what_changed_unseen_while_it_was_packed_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "logs"
    logs(folder)
    components, keys = book(folder, str(tmp_path / "store"))
    real: Callable[..., None] = files_archive.pack

    def changed(store: ObjectStore, key: str, file: IO[bytes]) -> None:
        path = Path(file.name)
        before = path.stat()
        path.write_bytes(path.read_bytes().swapcase())
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        real(store, key, file)

    monkeypatch.setattr(files_archive, "pack", changed)
    async with hands_on(tmp_path / "book", components, **keys) as hands:
        (change,) = await hands.plan("files.archive", **ARCHIVE)
        told = await hands.apply(change)
    assert sorted(told["left"]) == ["api.log.1", "old/wörker x.log.1"]
    assert (folder / "api.log.1").read_bytes() == b"get / 200\n" * 50_000


async def test_what_dead_processes_left_half_written_in_a_folder_is_removed_in_time(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    logs(folder)
    components, keys = book(folder, str(tmp_path / "store"))
    async with hands_on(tmp_path / "book", components, **keys) as hands:
        store = open_store(hands.connections.system, Reference(str(tmp_path / "store")), "test")
        assert isinstance(store, FolderStore)
        aside = store.aside()
        (aside / "dead").write_bytes(b"half of it")
        os.utime(aside / "dead", (time.time() - 2 * LEFT_SECONDS,) * 2)
        (aside / "perhaps-alive").write_bytes(b"half of it")
        await hands.do("files.archive", **ARCHIVE)
    assert {one.name for one in aside.iterdir()} == {"perhaps-alive"}


async def test_a_store_within_the_folder_is_refused_where_archives_would_be_archived(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    logs(folder)
    components, keys = book(folder, str(folder / "archive"))
    async with hands_on(tmp_path / "book", components, **keys) as hands:
        with pytest.raises(Refused, match="would be archived again"):
            await hands.plan("files.archive", **ARCHIVE)
        assert await hands.plan("files.archive", **{**ARCHIVE, "pattern": "*.log"})
