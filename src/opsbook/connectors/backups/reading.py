"""Reading a stored part back: fetched, hashed, decrypted, decompressed, hashed again.

The bytes are handed on while they stream, so a consumer must be able to take them back (a transaction, a file aside)
until the last piece was taken without an error: only then is it certain that they are those that were backed up.
"""

from __future__ import annotations

import hashlib
import io
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from opsbook.connectors.backups import encryption
from opsbook.connectors.backups.catalogue import Damaged
from opsbook.connectors.backups.compression import Broken, opener
from opsbook.connectors.backups.encryption import Undecryptable, WrongKey
from opsbook.connectors.backups.manifest import Manifest, Part
from opsbook.connectors.backups.pipeline import PIECE, Pace
from opsbook.connectors.objectstore.contract import ObjectMissing, ObjectStore
from opsbook.errors import UsageError

Sink = Callable[[bytes], object]
AGAIN = "restore another one, and take a new backup: `opsbook backups list`"
AHEAD = 4
"""Decrypted pieces that wait for whoever takes them."""


@dataclass(frozen=True)
class StoredContents:
    """A stored backup whose parts can be read."""

    store: ObjectStore
    manifest: Manifest
    identities: str = ""
    """Secret; what `decrypt` of the backup refers to. Not needed where nothing is encrypted."""
    pace: Pace = field(default_factory=Pace)

    def pieces(self, part: Part) -> Iterator[bytes]:
        """The plain bytes of a part, at most 1 MiB at a time.

        Raises Damaged with its key where what is stored is not what was written, WrongKey, UsageError, and what the
        store raises. Nothing that was yielded may be believed before it has ended without one of them.
        """
        if self.manifest.encryption == "age" and not self.identities:
            raise UsageError(
                f"backup {self.manifest.folder} is encrypted for {self.manifest.recipient}",
                f"set `decrypt` of {self.manifest.backup} to a reference of its identity",
            )
        with _opened(self.store, self.manifest.folder, part) as file:
            yield from self._believed(part, _Stored(file, self.pace))

    def read(self, part: Part, sink: Sink) -> None:
        """Hand the plain bytes to a function; raises as `pieces`."""
        with closing(self.pieces(part)) as pieces:  # type: ignore[type-var]
            for piece in pieces:
                sink(piece)

    def open(self, part: Part) -> BinaryIO:
        """The plain bytes as a file to read; it raises as `pieces` when its end is reached. Close it."""
        return cast(BinaryIO, io.BufferedReader(_File(self.pieces(part)), PIECE))

    def check(self, part: Part) -> None:
        """Hold the stored bytes against the manifest; needs no key. Raises Damaged, and what the store raises."""
        check_object(self.store, self.manifest.folder, part, self.manifest.parts, self.pace)

    def _believed(self, part: Part, stored: _Stored) -> Iterator[bytes]:
        """The pieces; and the verdict after the last."""
        count, digest, wrong = 0, hashlib.sha256(), None
        encrypted = self.manifest.encryption == "age"
        compressed = _decrypted(stored, self.identities) if encrypted else stored.pieces()
        one = opener(self.manifest.compression)
        try:
            for data in compressed:
                for piece in one.take(data):
                    count += len(piece)
                    digest.update(piece)
                    if piece:
                        yield piece
            one.end()
        except (Broken, Undecryptable, WrongKey) as error:
            wrong = error
        finally:
            cast(Any, compressed).close()
        # What was damaged is told by the hash of all that is stored, also where decoding gave up before its end.
        stored.drain()
        _judge_stored(self.manifest.parts, part, stored)
        if isinstance(wrong, WrongKey):
            raise WrongKey(f"{part.key}: {wrong.message}", wrong.hint)
        if wrong is not None:
            raise Damaged(f"{part.key}: it was stored damaged: {wrong}", AGAIN)
        if count != part.plain or digest.hexdigest() != part.plain_sha256:
            raise Damaged(f"{part.key}: its content is not what was backed up (SHA-256 differs)", AGAIN)


def read_part(
    store: ObjectStore, manifest: Manifest, part: Part, sink: Sink, identities: str = "", pace: Pace | None = None
) -> None:
    """As `StoredContents.read`."""
    StoredContents(store, manifest, identities, pace or Pace()).read(part, sink)


def check_part(store: ObjectStore, manifest: Manifest, part: Part, pace: Pace | None = None) -> None:
    """As `StoredContents.check`."""
    StoredContents(store, manifest, "", pace or Pace()).check(part)


def check_object(
    store: ObjectStore, folder: str, part: Part, parts: Sequence[Part] = (), pace: Pace | None = None
) -> None:
    """Hold the stored bytes of one part against its checksum. `parts` are those that it may have been swapped with."""
    with _opened(store, folder, part) as file:
        stored = _Stored(file, pace or Pace())
        stored.drain()
    _judge_stored(parts, part, stored)


def _opened(store: ObjectStore, folder: str, part: Part) -> BinaryIO:
    try:
        return store.open(f"{folder}/{part.key}")
    except ObjectMissing:
        raise Damaged(f"{part.key}: it is missing in {store.address}/{folder}", AGAIN) from None


def _decrypted(stored: _Stored, identities: str) -> Iterator[bytes]:
    """The decrypted pieces: pyrage pushes them, on a thread of its own."""
    pieces: queue.Queue[bytes | None] = queue.Queue(AHEAD)
    left = threading.Event()
    failed: list[Exception] = []

    def push() -> None:
        try:
            encryption.decrypt(stored, _Handover(pieces, left), identities)
        except Exception as error:  # the edge of a thread: handed to whoever takes the pieces
            failed.append(stored.error or error)
        while not left.is_set():
            try:
                pieces.put(None, timeout=0.1)
            except queue.Full:
                continue
            break

    thread = threading.Thread(target=push, name="opsbook-decrypt", daemon=True)
    thread.start()
    try:
        while (piece := pieces.get()) is not None:
            yield piece
    finally:
        left.set()
        thread.join()
    if failed:
        raise failed[0]


@dataclass
class _Handover:
    """Where decrypted bytes are put, until nobody wants them any more."""

    pieces: queue.Queue[bytes | None]
    left: threading.Event

    def write(self, data: bytes, /) -> int:
        while not self.left.is_set():
            try:
                self.pieces.put(bytes(data), timeout=0.1)
            except queue.Full:
                continue
            return len(data)
        raise OSError("nobody reads any more")

    def flush(self) -> None:
        """Each piece is handed over at once."""


def _judge_stored(parts: Sequence[Part], part: Part, stored: _Stored) -> None:
    found = stored.digest.hexdigest()
    if found == part.sha256 and stored.count == part.stored:
        return
    if other := next((one for one in parts if one.sha256 == found), None):
        raise Damaged(f"{part.key}: it holds what belongs to {other.key}", AGAIN)
    if stored.count < part.stored:
        raise Damaged(f"{part.key}: it is cut: {stored.count:,} of {part.stored:,} bytes", AGAIN)
    if stored.count > part.stored:
        raise Damaged(f"{part.key}: it is longer than it was: {stored.count:,} bytes, not {part.stored:,}", AGAIN)
    raise Damaged(f"{part.key}: its bytes are not those that were stored (SHA-256 differs)", AGAIN)


@dataclass
class _Stored:
    """The object as it lies there, counted and hashed while it is read."""

    file: BinaryIO
    pace: Pace
    count: int = 0
    error: Exception | None = None
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def read(self, size: int, /) -> bytes:
        try:
            data = self.file.read(size)
            self.pace.took(len(data))
        except Exception as error:
            self.error = error  # through pyrage it would come out as another kind
            raise
        self.digest.update(data)
        self.count += len(data)
        return data

    def pieces(self) -> Iterator[bytes]:
        while data := self.read(PIECE):
            yield data

    def drain(self) -> None:
        while self.read(PIECE):
            continue


class _File(io.RawIOBase):
    """An iterator of bytes as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def close(self) -> None:
        cast(Any, self._pieces).close()
        super().close()
