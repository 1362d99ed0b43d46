"""A folder as a store of objects: whole or not at all, and never outside of itself."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.connectors.objectstore.addresses import store_at
from opsbook.connectors.objectstore.contract import ObjectFailed, ObjectMissing, StoreUnavailable
from opsbook.connectors.objectstore.folder import ASIDE, LEFT_SECONDS, FolderStore
from opsbook.connectors.objectstore.keys import LONGEST_PART, checked, fault, safe
from opsbook.errors import UsageError


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@given(st.text(max_size=300))
def test_a_key_never_leads_out_of_its_store(text: str) -> None:
    if fault(text) is None:
        parts = checked(text).split("/")
        assert all(part and not part.startswith(".") and part.isascii() and "\0" not in part for part in parts)
        assert Path("/store", text).resolve().is_relative_to("/store")
    else:
        with pytest.raises(ValueError, match="cannot name an object"):
            checked(text)


@given(st.text(max_size=400))
def test_any_text_can_be_made_a_part_of_a_key(text: str) -> None:
    assert fault(safe(text)) is None
    assert len(safe(text)) <= LONGEST_PART


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "a/../b", "a//b", ".hidden", "a/.b", "a b", "ä", "a\n"])
def test_it_refuses_what_is_no_key(store: FolderStore, key: str) -> None:
    with pytest.raises(ValueError, match="cannot name"):
        store.put(key, b"")


def test_nothing_is_seen_of_an_object_before_it_is_committed(store: FolderStore) -> None:
    writing = store.begin("nightly/one/part")
    writing.write(b"first half")
    assert list(store.list()) == []
    with pytest.raises(ObjectMissing):
        store.get("nightly/one/part")
    writing.write(b", second half")
    writing.commit()
    writing.abort()
    assert store.get("nightly/one/part") == b"first half, second half"
    assert [(one.key, one.size) for one in store.list("nightly")] == [("nightly/one/part", 23)]
    assert list((store.root / ASIDE).iterdir()) == []


def test_an_object_is_readable_by_its_owner_only(store: FolderStore) -> None:
    store.put("a/b", b"x")
    assert (store.root / "a/b").stat().st_mode & 0o077 == 0
    assert (store.root / "a").stat().st_mode & 0o077 == 0


def test_an_aborted_object_leaves_nothing_and_the_one_before_stays(store: FolderStore) -> None:
    store.put("a/b", b"before")
    writing = store.begin("a/b")
    writing.write(b"after")
    writing.abort()
    assert store.get("a/b") == b"before"
    assert list((store.root / ASIDE).iterdir()) == []


def test_only_the_first_of_two_that_must_be_new_is_written(store: FolderStore) -> None:
    store.put("a", b"first", only_new=True)
    with pytest.raises(ObjectFailed, match="there already"):
        store.put("a", b"second", only_new=True)
    assert store.get("a") == b"first"
    store.put("a", b"third")
    assert store.get("a") == b"third"


def test_a_prefix_is_a_folder_and_not_the_beginning_of_a_name(store: FolderStore) -> None:
    for key in ("wal/1", "wal-2/1", "wal/sub/2", "z"):
        store.put(key, b"")
    assert [one.key for one in store.list("wal")] == ["wal/1", "wal/sub/2"]
    assert {one.key for one in store.list()} == {"wal-2/1", "wal/1", "wal/sub/2", "z"}
    assert list(store.list("nowhere")) == []


def test_the_last_object_takes_its_empty_folders_with_it(store: FolderStore) -> None:
    store.put("a/b/c", b"")
    store.put("a/d", b"")
    store.delete("a/b/c")
    assert not (store.root / "a/b").exists()
    assert store.get("a/d") == b""
    store.delete("a/b/c")


def test_it_reads_from_any_place_and_refuses_what_is_too_large(store: FolderStore) -> None:
    store.put("a", b"0123456789")
    with store.open("a", 7) as file:
        assert file.read() == b"789"
    with pytest.raises(ObjectFailed, match="larger than 5 bytes"):
        store.get("a", limit=5)


def test_a_full_disk_is_told_as_one_and_leaves_nothing(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    writing = store.begin("a")
    writing.write(b"something")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ObjectFailed, match="disk is full"):
        writing.commit()
    writing.abort()
    assert list(store.list()) == []
    assert list((store.root / ASIDE).iterdir()) == []


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be written") as failed:
        FolderStore(tmp_path / "file" / "store").put("a", b"")
    assert "name another one as `to`" in failed.value.hint


def test_what_died_writers_left_aside_is_swept_and_what_lives_is_not(store: FolderStore) -> None:
    living, dead = store.begin("a"), store.begin("b")
    left = max((store.root / ASIDE).iterdir(), key=lambda one: one.stat().st_mtime_ns)
    old = time.time() - LEFT_SECONDS - 60
    os.utime(left, (old, old))
    store.sweep()
    assert len(list((store.root / ASIDE).iterdir())) == 1
    for one in (living, dead):
        one.abort()


def test_addresses_name_folders_and_buckets_and_hold_no_credentials(tmp_path: Path) -> None:
    assert store_at("here", {}, tmp_path, "renec").address == str(tmp_path / "here/renec")
    assert store_at(f"file://{tmp_path}/a%20b", {}, tmp_path).address == str(tmp_path / "a b")
    secret = {"AWS_ACCESS_KEY_ID": "who", "AWS_SECRET_ACCESS_KEY": "s3cret-word"}
    bucket = store_at("s3://b/p?endpoint=http://127.0.0.1:1&region=r", secret, tmp_path, "renec")
    assert bucket.address == "s3://b/p/renec"
    assert "s3cret-word" not in repr(vars(bucket))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://who:s3cret-word@b/p", "holds no credentials"),
        ("s3://b/p?endpont=x", "unknown word 'endpont'"),
        ("s3:///p", "names no bucket"),
        ("s3://b/../x", "no part of a key"),
        ("s3://b?secret_key=NOT_SET", "NOT_SET of the bucket's address is not set"),
        ("ftp://host/x", "no store that opsbook knows"),
    ],
)
def test_an_address_that_means_nothing_says_why(address: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        store_at(address, {}, tmp_path)
    assert "s3cret-word" not in str(refused.value)
