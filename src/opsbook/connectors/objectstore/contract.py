"""The one interface to a store of objects. Blocking: it is called from threads, never on the event loop.

Keys are relative paths with `/`, of `[A-Za-z0-9._=-]` in each part. An object is there whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from opsbook.errors import OpsbookError


class StoreUnavailable(OpsbookError):
    """The store of objects cannot be reached, or refuses the credential."""

    exit_code = 3


class ObjectFailed(OpsbookError):
    """One object could not be written, read or deleted; the store itself answered."""

    exit_code = 1


class ObjectMissing(ObjectFailed):
    """There is no object of this key."""


@dataclass(frozen=True)
class Stored:
    """An object as the store lists it."""

    key: str
    size: int
    """Bytes."""
    modified: datetime


class Writing(Protocol):
    """An object that is being written. Memory is bounded, whatever is written. Nobody sees it before `commit`."""

    def write(self, data: bytes) -> int: ...

    def commit(self) -> None:
        """Make it visible, whole and on the disk. Raises ObjectFailed."""
        ...

    def abort(self) -> None:
        """Throw away what was written. Never raises."""
        ...


class ObjectStore(Protocol):
    """A folder or a bucket, below one prefix."""

    address: str
    """As the book wrote it, without secrets."""

    def begin(self, key: str) -> Writing: ...

    def put(self, key: str, data: bytes, *, only_new: bool = False, content_type: str = "") -> None:
        """A small object at once; a bucket tells its readers the type of the content.

        With `only_new` raises ObjectFailed where the key exists, atomically.
        """
        ...

    def open(self, key: str, start: int = 0) -> BinaryIO:
        """A reader of bounded memory, which takes up a broken transfer again. Raises ObjectMissing."""
        ...

    def get(self, key: str, limit: int = 64 << 20) -> bytes:
        """A small object. Raises ObjectMissing, and ObjectFailed where it is larger than the limit."""
        ...

    def list(self, prefix: str = "") -> Iterator[Stored]: ...

    def delete(self, key: str) -> None:
        """Nothing happens where it is not there."""
        ...

    def close(self) -> None: ...
