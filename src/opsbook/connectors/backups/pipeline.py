"""One pass from a source to a stored object: counted and hashed, compressed, encrypted, hashed again, written.

Memory is bounded: pieces of a source are pulled through, never gathered. Blocking: it runs on threads.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from opsbook.connectors.backups import encryption
from opsbook.connectors.backups.compression import Compression, squeezer
from opsbook.connectors.objectstore.contract import ObjectStore, Writing
from opsbook.errors import OpsbookError

PIECE = 256 * 1024


class Stopped(OpsbookError):
    """It was told to end."""


class Pace:
    """What all streams of a backup share: the order to end, the rate, and how much went through."""

    def __init__(self, rate: float | None = None, told: Callable[[int], None] | None = None) -> None:
        self.stop = threading.Event()
        self._rate, self._told = rate, told
        self._lock = threading.Lock()
        self._ready = time.monotonic()
        self.passed = 0

    def took(self, size: int) -> None:
        """Count bytes of a source, and wait as long as the rate wants. Raises Stopped."""
        with self._lock:
            self.passed += size
            if self._rate:
                self._ready = max(self._ready, time.monotonic() - 1.0) + size / self._rate
            wait = self._ready - time.monotonic() if self._rate else 0.0
            if self._told is not None:
                self._told(self.passed)
        if self.stop.wait(wait) if wait > 0 else self.stop.is_set():
            raise Stopped("it was stopped")


@dataclass(frozen=True)
class Codec:
    """How the parts of a backup are written."""

    compression: Compression = "zstd"
    level: int | None = None
    recipients: str = ""
    """None: not encrypted."""


@dataclass(frozen=True)
class Written:
    """What went in, and what lies there now."""

    plain: int
    plain_sha256: str
    stored: int
    sha256: str
    lines: int
    """Line feeds of the plain stream: the rows, where it is COPY's text format."""


class Source(Protocol):
    """Where a stream comes from. `finish` is called at its end, and raises where the end is none."""

    def read(self, size: int, /) -> bytes: ...
    def finish(self) -> None: ...


@dataclass
class FileSource:
    """A file object that ends where it ends."""

    file: BinaryIO

    def read(self, size: int, /) -> bytes:
        return self.file.read(size)

    def finish(self) -> None:
        """Its end is the end."""


def write_object(store: ObjectStore, key: str, source: Source, codec: Codec, pace: Pace | None = None) -> Written:
    """Bring a source into the store; the object appears whole, or not at all. Raises what either raises."""
    writing = store.begin(key)
    try:
        squeezed = _Squeezed(source, codec, pace or Pace())
        stored = _Stored(writing)
        if codec.recipients:
            _encrypted(squeezed, stored, codec.recipients)
        else:
            while data := squeezed.piece():
                stored.write(data)
        source.finish()
        writing.commit()
    finally:
        writing.abort()
    return Written(squeezed.count, squeezed.digest.hexdigest(), stored.count, stored.digest.hexdigest(), squeezed.lines)


def _encrypted(squeezed: _Squeezed, stored: _Stored, recipients: str) -> None:
    try:
        encryption.encrypt(squeezed, stored, recipients)
    except Exception:
        # Through pyrage an error comes out as another kind: the first one is what happened.
        for error in (squeezed.error, stored.error):
            if error is not None:
                raise error from None
        raise


@dataclass
class _Squeezed:
    """The source, counted, hashed and compressed, to be pulled."""

    source: Source
    codec: Codec
    pace: Pace
    count: int = 0
    lines: int = 0
    error: Exception | None = None

    def __post_init__(self) -> None:
        self.digest = hashlib.sha256()
        self._squeezer = squeezer(self.codec.compression, self.codec.level)
        self._rest = memoryview(b"")
        self._ended = False

    def piece(self) -> bytes:
        """The next bytes; none at the end."""
        while not self._ended:
            data = self.source.read(PIECE)
            if not data:
                self._ended = True
                return self._squeezer.end()
            self.pace.took(len(data))
            self.count += len(data)
            self.lines += data.count(b"\n")
            self.digest.update(data)
            if squeezed := self._squeezer.take(data):
                return squeezed
        return b""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes, as an encryptor asks for them."""
        try:
            if not self._rest:
                self._rest = memoryview(self.piece())
        except Exception as error:
            self.error = error
            raise
        found, self._rest = self._rest[:size], self._rest[size:]
        return bytes(found)


@dataclass
class _Stored:
    """The object that is written, counted and hashed."""

    writing: Writing
    count: int = 0
    error: Exception | None = None
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def write(self, data: bytes, /) -> int:
        try:
            self.writing.write(data)
        except Exception as error:
            self.error = error
            raise
        self.digest.update(data)
        self.count += len(data)
        return len(data)

    def flush(self) -> None:
        """The store decides when it writes."""
