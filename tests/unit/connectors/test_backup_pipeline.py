"""What goes into a stored part comes out of it, and nothing else is ever believed."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsbook.connectors.backups.attempts import encoded, published, remove, reserve, sweep
from opsbook.connectors.backups.catalogue import Damaged, found, listing, manifest_from
from opsbook.connectors.backups.compression import MOST, Broken, opener, squeezer
from opsbook.connectors.backups.encryption import WrongKey, public_recipients
from opsbook.connectors.backups.manifest import MANIFEST, SIGNATURE, Hold, Manifest, Part, Proof
from opsbook.connectors.backups.pipeline import Codec, FileSource, Pace, Stopped, write_object
from opsbook.connectors.backups.reading import StoredContents
from opsbook.connectors.backups.signing import Signature, judged, signature_of
from opsbook.connectors.objectstore.folder import FolderStore
from opsbook.errors import UsageError
from opsbook.store.audit_head import HeadFile

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
HOW = [(compression, encrypted) for compression in ("zstd", "gzip", "none") for encrypted in (False, True)]
CONTENT = b"".join(b"%d\tsome row of a table\t%d\n" % (n, n * n) for n in range(30_000))


@pytest.fixture(scope="module")
def identity() -> Any:
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def head(tmp_path: Path) -> HeadFile:
    return HeadFile(tmp_path / "key", tmp_path / "head")


def backup(
    store: FolderStore, head: HeadFile, contents: list[bytes], compression: Any = "zstd", recipient: str = "",
    at: datetime = NOW, key: str = "run/take/0",
) -> Manifest:  # fmt: skip
    """A small backup, published."""
    attempt = reserve(store, "nightly", key, at, timedelta(hours=1))
    parts = []
    for n, content in enumerate(contents):
        name = attempt.key(f"part-{n}")
        codec = Codec(compression, recipients=recipient)
        written = write_object(store, f"{attempt.folder}/{name}", FileSource(io.BytesIO(content)), codec)
        parts.append(
            Part(key=name, role="archive", stored=written.stored, sha256=written.sha256, plain=written.plain,
                 plain_sha256=written.plain_sha256)
        )  # fmt: skip
    manifest = Manifest(
        system="test", environment="test", backup="nightly", component="files", method="files", stamp=attempt.stamp,
        attempt=attempt.id, started=at, finished=at, data_time=at, tool="tar", opsbook="1", compression=compression,
        encryption="age" if recipient else "none", recipient=recipient, parts=tuple(parts),
    )  # fmt: skip
    attempt.publish(manifest, head)
    return manifest


def content(store: FolderStore, manifest: Manifest, part: int = 0, identities: str = "") -> bytes:
    return b"".join(StoredContents(store, manifest, identities).pieces(manifest.parts[part]))


@pytest.mark.parametrize(("compression", "encrypted"), HOW)
@pytest.mark.parametrize("size", [0, 1, 65_536, len(CONTENT)])
def test_it_reads_what_was_written(
    store: FolderStore, head: HeadFile, identity: Any, compression: str, encrypted: bool, size: int
) -> None:
    recipient = str(identity.to_public()) if encrypted else ""
    manifest = backup(store, head, [CONTENT[:size]], compression, recipient)
    assert content(store, manifest, identities=str(identity)) == CONTENT[:size]
    stored = store.get(f"{manifest.folder}/{manifest.parts[0].key}")
    assert (b"some row" in stored) is (compression == "none" and not encrypted and size > 1)
    with StoredContents(store, manifest, str(identity)).open(manifest.parts[0]) as file:
        assert file.read(7) == CONTENT[:size][:7]


@given(st.lists(st.binary(max_size=3000), max_size=30), st.sampled_from(["zstd", "gzip", "none"]), st.integers(1, 97))
def test_compression_gives_back_every_byte_however_it_is_cut(pieces: list[bytes], how: Any, step: int) -> None:
    small = squeezer(how)
    stored = b"".join([small.take(piece) for piece in pieces] + [small.end()])
    whole = opener(how)
    out = [piece for n in range(0, len(stored), step) for piece in whole.take(stored[n : n + step])]
    whole.end()
    assert b"".join(out) == b"".join(pieces)


@pytest.mark.parametrize("how", ["zstd", "gzip"])
def test_a_few_bytes_that_stand_for_gigabytes_come_out_in_bounded_pieces(how: Any) -> None:
    small = squeezer(how)
    stored = b"".join([small.take(b"\0" * (1 << 20)) for _ in range(16)] + [small.end()])
    assert len(stored) < 70_000
    sizes = [len(piece) for piece in opener(how).take(stored)]
    assert sum(sizes) == 16 << 20
    assert max(sizes) <= MOST


@pytest.mark.parametrize("how", ["zstd", "gzip"])
def test_a_cut_or_lengthened_stream_is_broken(how: Any) -> None:
    small = squeezer(how)
    stored = small.take(CONTENT) + small.end()
    for bad in (stored[:-3], stored + b"more", stored + stored, b"nothing of the kind"):
        one = opener(how)
        with pytest.raises(Broken):
            list(one.take(bad))
            one.end()


def flip(data: bytearray, place: int, bit: int) -> bytes:
    data[place] ^= 1 << bit
    return bytes(data)


@settings(max_examples=20, deadline=None)
@given(
    how=st.sampled_from(HOW),
    kind=st.sampled_from(["flip", "cut", "append", "zero", "remove", "swap", "empty"]),
    place=st.floats(0, 0.999),
    bit=st.integers(0, 7),
)
def test_every_damage_of_a_part_is_found_and_named(
    tmp_path_factory: pytest.TempPathFactory, how: Any, kind: str, place: float, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("store")
    store, head = FolderStore(folder / "s"), HeadFile(folder / "key", folder / "head")
    identity = pyrage.x25519.Identity.generate()
    recipient = str(identity.to_public()) if how[1] else ""
    manifest = backup(store, head, [CONTENT[:20_000], CONTENT[5_000:25_000]], how[0], recipient)
    paths = [store.root / manifest.folder / part.key for part in manifest.parts]
    data = bytearray(paths[0].read_bytes())
    at = int(len(data) * place)
    if kind == "remove":
        paths[0].unlink()
    else:
        new = {
            "flip": lambda: flip(data, at, bit),
            "cut": lambda: bytes(data[:at]),
            "append": lambda: bytes(data) + b"\0",
            "zero": lambda: bytes(data[:at]) + bytes([data[at] ^ 0xFF] * (len(data) - at)),
            "swap": lambda: paths[1].read_bytes(),
            "empty": lambda: b"",
        }[kind]()
        paths[0].write_bytes(new)
    contents = StoredContents(store, manifest, str(identity))
    told = {"cut": "is cut", "empty": "is cut", "append": "is longer", "remove": "is missing", "swap": "belongs to"}
    for look in (lambda: list(contents.pieces(manifest.parts[0])), lambda: contents.check(manifest.parts[0])):
        with pytest.raises(Damaged) as damaged:
            look()
        assert manifest.parts[0].key in damaged.value.message
        assert told.get(kind, "SHA-256 differs") in damaged.value.message
    assert content(store, manifest, 1, str(identity)) == CONTENT[5_000:25_000]
    one = found(store, "nightly", manifest.stamp)
    assert one.whole is (kind in ("flip", "zero") or (kind == "swap" and len(new) == manifest.parts[0].stored))


def test_content_that_was_stored_wrongly_is_found_by_the_checksum_of_what_was_read(
    store: FolderStore, head: HeadFile
) -> None:
    manifest = backup(store, head, [CONTENT])
    part = manifest.parts[0].model_copy(update={"plain_sha256": "0" * 64})
    with pytest.raises(Damaged, match="not what was backed up"):
        list(StoredContents(store, manifest).pieces(part))


def test_a_wrong_key_is_told_from_damage_and_shows_no_secret(store: FolderStore, head: HeadFile, identity: Any) -> None:
    manifest = backup(store, head, [CONTENT], recipient=str(identity.to_public()))
    other = str(pyrage.x25519.Identity.generate())
    with pytest.raises(WrongKey, match="not encrypted for the identity") as wrong:
        content(store, manifest, identities=other)
    assert other not in str(wrong.value)
    with pytest.raises(UsageError, match="is encrypted for age1"):
        content(store, manifest)
    with pytest.raises(UsageError) as unreadable:
        content(store, manifest, identities="AGE-SECRET-KEY-1NONSENSE")
    assert "NONSENSE" not in str(unreadable.value)
    # What is stored can be verified without any key.
    StoredContents(store, manifest).check(manifest.parts[0])


def test_a_secret_identity_is_no_recipient(identity: Any) -> None:
    with pytest.raises(UsageError, match="secret identity") as refused:
        public_recipients(str(identity))
    assert str(identity) not in str(refused.value)
    two = f"# ours\n{identity.to_public()}\n{pyrage.x25519.Identity.generate().to_public()}"
    assert public_recipients(two).count("age1") == 2


def test_a_manifest_proves_itself_by_its_signature(store: FolderStore, head: HeadFile, tmp_path: Path) -> None:
    manifest = backup(store, head, [CONTENT])
    other = HeadFile(tmp_path / "other-key", tmp_path / "other-head")
    assert found(store, "nightly", known=head.public).signature is Signature.GOOD
    assert found(store, "nightly", known=other.public).signature is Signature.OTHER_KEY
    data = encoded(manifest)
    assert judged(data, None) is Signature.MISSING
    for n in range(0, len(data), 97):
        assert judged(flip(bytearray(data), n, 1), signature_of(data, head)) is Signature.WRONG
    for bad in (b"", b"{}", b'{"key": 1, "signature": "x"}', signature_of(b"else", head)):
        assert judged(data, bad) is Signature.WRONG
    path = store.root / manifest.folder / MANIFEST
    path.write_bytes(data.replace(b'"component": "files"', b'"component": "filez"'))
    changed = listing(store, "nightly", head.public).backups[0]
    assert changed.signature is Signature.WRONG
    assert not changed.whole
    (store.root / manifest.folder / SIGNATURE).unlink()
    assert listing(store, "nightly", head.public).backups[0].signature is Signature.MISSING


def test_a_manifest_that_cannot_be_read_is_listed_with_the_reason(store: FolderStore, head: HeadFile) -> None:
    manifest = backup(store, head, [b"x"])
    newer = backup(store, head, [b"x"], at=NOW + timedelta(days=1))
    path = store.root / newer.folder / MANIFEST
    path.write_bytes(path.read_bytes().replace(b'"format": 1', b'"format": 2'))
    held = listing(store, "nightly")
    assert [one.folder for one in held.backups] == [manifest.folder]
    assert [one.folder for one in held.unreadable] == [newer.folder]
    assert "format 2, newer than the 1" in held.unreadable[0].reason
    with pytest.raises(Damaged, match="newer than"):
        found(store, "nightly", newer.stamp)
    for bad in (b"", b"[]", b"{", b'{"format": 1}', b"\xff"):
        with pytest.raises(Damaged, match="manifest is damaged"):
            manifest_from(bad)


def test_nothing_is_a_backup_before_its_manifest(store: FolderStore, head: HeadFile) -> None:
    attempt = reserve(store, "nightly", "run/take/0", NOW, timedelta(hours=1))
    write_object(store, f"{attempt.folder}/{attempt.key('part')}", FileSource(io.BytesIO(b"x")), Codec())
    held = listing(store)
    assert held.backups == ()
    assert held.attempts == (attempt.folder,)
    assert published(store, "nightly", "run/take/0") is None
    with pytest.raises(UsageError, match="no backup of nightly"):
        found(store, "nightly")
    attempt.discard()
    assert list(store.list()) == []


def test_two_backups_of_one_second_get_two_stamps(store: FolderStore, head: HeadFile) -> None:
    first, second = backup(store, head, [b"1"]), backup(store, head, [b"2"], key="other/take/0")
    assert (first.stamp, second.stamp) == ("20260301T030000Z", "20260301T030000Z-2")
    assert published(store, "nightly", "other/take/0") == second.stamp
    with pytest.raises(UsageError, match="begins 2 backups"):
        found(store, "nightly", "2026")
    assert found(store, "nightly", first.stamp).manifest == first


def test_dead_attempts_are_swept_and_living_ones_are_not(store: FolderStore, head: HeadFile) -> None:
    kept = backup(store, head, [b"x"])
    now = datetime.now(UTC)
    living = reserve(store, "nightly", "living", now, timedelta(hours=6))
    dead = reserve(store, "nightly", "dead", now - timedelta(days=9), timedelta(hours=6))
    mine = reserve(store, "nightly", "mine", now - timedelta(minutes=1), timedelta(hours=6))
    assert sweep(store, "nightly", now + timedelta(hours=25)) == [dead.folder]
    # An earlier attempt of the very same change has certainly ended.
    assert sweep(store, "nightly", now, "mine") == [mine.folder]
    held = listing(store, "nightly")
    assert held.attempts == (living.folder,)
    assert [one.folder for one in held.backups] == [kept.folder]


def test_proofs_and_holds_lie_beside_the_backup(store: FolderStore, head: HeadFile) -> None:
    manifest = backup(store, head, [b"x"])
    for days, good in ((2, False), (1, True)):
        proof = Proof(at=NOW - timedelta(days=days), good=good, kind="restore")
        store.put(f"{manifest.folder}/proof-{days}.json", proof.model_dump_json().encode())
    hold = Hold(name="drill", by="somebody", reason="is restored", at=NOW, until=NOW + timedelta(hours=1))
    store.put(f"{manifest.folder}/hold-drill.json", hold.model_dump_json().encode())
    store.put(f"{manifest.folder}/hold-broken.json", b"{")
    one = found(store, "nightly")
    assert one.verified() == one.proofs[-1]
    assert one.held(NOW) == (hold,)
    assert one.held(NOW + timedelta(hours=2)) == ()


def test_removing_a_backup_makes_it_invisible_first(store: FolderStore, head: HeadFile) -> None:
    manifest = backup(store, head, [b"x"])
    deleted: list[str] = []

    class Watched(FolderStore):
        def delete(self, key: str) -> None:
            deleted.append(key)
            super().delete(key)

    remove(Watched(store.root), manifest.folder)
    assert deleted[0] == f"{manifest.folder}/{MANIFEST}"
    assert list(store.list()) == []


def test_a_source_that_fails_leaves_no_object_and_its_own_error(store: FolderStore, identity: Any) -> None:
    class Failing:
        def __init__(self) -> None:
            self.left = 3

        def read(self, size: int, /) -> bytes:
            self.left -= 1
            if not self.left:
                raise OSError("the source broke")
            return b"x" * size

        def finish(self) -> None: ...

    for recipients in ("", str(identity.to_public())):
        with pytest.raises(OSError, match="the source broke"):
            write_object(store, "a/b", Failing(), Codec(recipients=recipients))
    assert list(store.list()) == []


def test_it_stops_when_it_is_told(store: FolderStore) -> None:
    pace = Pace()
    pace.stop.set()
    with pytest.raises(Stopped):
        write_object(store, "a/b", FileSource(io.BytesIO(b"x")), Codec(), pace)
    assert list(store.list()) == []


def test_other_tools_read_what_was_stored(store: FolderStore, head: HeadFile, identity: Any) -> None:
    manifest = backup(store, head, [CONTENT], "gzip", str(identity.to_public()))
    stored = store.get(f"{manifest.folder}/{manifest.parts[0].key}")
    assert gzip.decompress(pyrage.decrypt(stored, [identity])) == CONTENT


def test_a_reader_that_leaves_early_ends_what_decrypts_for_it(
    store: FolderStore, head: HeadFile, identity: Any
) -> None:
    import threading

    manifest = backup(store, head, [CONTENT], "none", str(identity.to_public()))
    pieces: Iterator[bytes] = StoredContents(store, manifest, str(identity)).pieces(manifest.parts[0])
    assert next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert not [one for one in threading.enumerate() if one.name == "opsbook-decrypt"]
