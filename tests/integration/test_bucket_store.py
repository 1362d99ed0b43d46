"""A bucket as a store of objects: atomic, bounded, through a network that breaks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from opsbook.connectors.objectstore.contract import ObjectFailed, ObjectMissing, StoreUnavailable
from opsbook.watch.status_page import HTML, JSON, PublicPage
from tests.integration.buckets import BUCKET, KEY, SECRET, Bucket, cut_wire, new_bucket
from tests.integration.servers import free_port
from tests.unit.conftest import migrated as migrated
from tests.unit.conftest import store as store
from tests.unit.watch.planned_work import NOW, watch_of
from tests.unit.watch.test_status_page import SHOWN

pytestmark = pytest.mark.real

MB = 1 << 20


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with new_bucket() as one:
        yield one


def block(n: int) -> bytes:
    """A megabyte that is like no other."""
    return hashlib.sha256(b"%d" % n).digest() * (MB // 32)


def test_an_object_appears_whole_and_lists_below_its_prefix(bucket: Bucket) -> None:
    store = bucket.store("whole")
    writing = store.begin("nightly/one/part")
    for n in range(40):
        writing.write(block(n))
    assert list(store.list()) == []
    writing.commit()
    store.put("nightly/one/manifest.json", b"{}", only_new=True)
    assert {(one.key, one.size) for one in store.list("nightly")} == {
        ("nightly/one/part", 40 * MB), ("nightly/one/manifest.json", 2),
    }  # fmt: skip
    with store.open("nightly/one/part") as file:
        assert all(file.read(MB) == block(n) for n in range(40))
        assert file.read(1) == b""
    with store.open("nightly/one/part", 39 * MB + 7) as file:
        assert file.read() == block(39)[7:]
    assert store.get("nightly/one/manifest.json") == b"{}"
    with pytest.raises(ObjectFailed, match="larger than 10 bytes"):
        store.get("nightly/one/part", limit=10)
    with pytest.raises(ObjectFailed, match="there already"):
        store.put("nightly/one/manifest.json", b"[]", only_new=True)
    store.delete("nightly/one/part")
    store.delete("nightly/one/part")
    with pytest.raises(ObjectMissing):
        store.open("nightly/one/part")
    with pytest.raises(ObjectMissing):
        store.get("nightly/one/part")


def test_an_aborted_upload_is_never_seen(bucket: Bucket) -> None:
    store = bucket.store("aborted")
    for size in (1, 40):
        writing = store.begin("part")
        for n in range(size):
            writing.write(block(n))
        writing.abort()
    assert list(store.list()) == []


def test_wrong_credentials_a_missing_bucket_and_no_server_are_told_apart(bucket: Bucket) -> None:
    wrong = bucket.store("x", secret="another-s3cret-word")
    for act in (lambda: wrong.put("a", b"x"), lambda: wrong.get("a"), lambda: list(wrong.list())):
        with pytest.raises(StoreUnavailable, match="refuses the credentials") as refused:
            act()
        assert "AWS_SECRET_ACCESS_KEY" in refused.value.hint
        assert "s3cret-word" not in str(refused.value)
    nobody = bucket.store("x", port=free_port())
    nobody_said = pytest.raises(StoreUnavailable, match=f"s3://{BUCKET}/x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("opsbook.connectors.objectstore.s3.TRIES", 1)
        nobody = bucket.store("x", port=free_port())
        with nobody_said as unreachable:
            nobody.put("a", b"x")
    assert "can this host reach the endpoint" in unreachable.value.hint
    assert SECRET not in str(unreachable.value)


def test_a_broken_transfer_is_taken_up_again_both_ways(bucket: Bucket) -> None:
    store = bucket.store("cut")
    whole = b"".join(block(n) for n in range(24))
    with cut_wire(bucket.port, 300_000, 5 * MB, 700_000) as wire:
        writing = bucket.store("cut", wire.port).begin("part")
        for n in range(24):
            writing.write(block(n))
        writing.commit()
        assert wire.cuts >= 2
    assert store.get("part") == whole
    with cut_wire(bucket.port, back=(MB, 3 * MB, 900_000)) as wire:
        with bucket.store("cut", wire.port).open("part") as file:
            assert file.read() == whole
        assert wire.cuts >= 2


async def test_the_status_page_is_written_to_a_bucket_and_read_back_as_it_was(
    bucket: Bucket, tmp_path: Path, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    keys = {**SHOWN, "status_page": {**SHOWN["status_page"], "to": bucket.address("public")}}
    watch = watch_of(tmp_path, store, **keys)  # type: ignore[arg-type]
    for _ in range(2):
        await PublicPage(watch).tick(NOW)
    there = bucket.store("public")
    assert sorted(one.key for one in there.list()) == [HTML, JSON]
    assert json.loads(there.get(JSON))["title"] == "Shop"
    assert there.get(HTML).decode().rstrip().endswith("</html>")
