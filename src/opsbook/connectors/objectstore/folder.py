"""A folder as a store of objects: written aside, brought to the disk, then moved into place."""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from opsbook.connectors.objectstore.contract import (
    ObjectFailed,
    ObjectMissing,
    Stored,
    StoreUnavailable,
)
from opsbook.connectors.objectstore.keys import checked

ASIDE = ".writing"
"""What is being written lies here, on the same file system; a listing never looks into it."""
LEFT_SECONDS = 2 * 86_400
"""What was left aside longer than this belongs to nobody who still lives."""
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


class FolderStore:
    """Objects below one folder, readable by this user only."""

    def __init__(self, root: Path, address: str = "") -> None:
        self.root = root
        self.address = address or str(root)

    def begin(self, key: str) -> FolderWriting:
        return FolderWriting(self, self._path(key))

    def put(self, key: str, data: bytes, *, only_new: bool = False, content_type: str = "") -> None:  # noqa: ARG002
        writing = FolderWriting(self, self._path(key), only_new=only_new)
        try:
            writing.write(data)
            writing.commit()
        finally:
            writing.abort()

    def open(self, key: str, start: int = 0) -> BinaryIO:
        try:
            file = self._path(key).open("rb")
        except (FileNotFoundError, IsADirectoryError):
            raise self.missing(key) from None
        except OSError as error:
            raise self.failed(key, error) from error
        file.seek(start)
        return file

    def get(self, key: str, limit: int = 64 << 20) -> bytes:
        with self.open(key) as file:
            try:
                data = file.read(limit + 1)
            except OSError as error:
                raise self.failed(key, error) from error
        if len(data) > limit:
            raise ObjectFailed(f"{self.address}/{key} is larger than {limit:,} bytes", "was it written by opsbook?")
        return data

    def list(self, prefix: str = "") -> Iterator[Stored]:
        top = self._path(prefix) if prefix else self.root
        if top.is_dir():
            yield from self._walk(top)

    def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise self.failed(key, error) from error
        # Folders that are empty now would stand in every listing.
        for folder in path.parents:
            if folder == self.root or not folder.is_relative_to(self.root):
                break
            try:
                folder.rmdir()
            except OSError:
                break

    def close(self) -> None:
        """Nothing is held."""

    def aside(self) -> Path:
        """The folder of what is being written, made where it is not there. Raises StoreUnavailable."""
        folder = self.root / ASIDE
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(
                f"{self.address} cannot be written: {error.strerror}",
                "make the folder for this user, or name another one as `to`",
            ) from error
        return folder

    def sweep(self) -> None:
        """Remove what processes that died have left aside."""
        with suppress(OSError):
            for entry in os.scandir(self.root / ASIDE):
                with suppress(OSError):
                    if time.time() - entry.stat().st_mtime > LEFT_SECONDS:
                        Path(entry.path).unlink()

    def failed(self, key: str, error: OSError) -> ObjectFailed | StoreUnavailable:
        """An error of the operating system in the words of this room."""
        where = f"{self.address}/{key}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return ObjectFailed(f"{where}: the disk is full ({error.strerror})", "free space, or prune older backups")
        if error.errno in _REFUSED:
            return StoreUnavailable(f"{where}: {error.strerror}", "give this user the right to it, or name another")
        return ObjectFailed(f"{where}: {error.strerror}", "check the disk of this folder")

    def missing(self, key: str) -> ObjectMissing:
        return ObjectMissing(f"{self.address}/{key} is not there", "was it removed by hand?")

    def _path(self, key: str) -> Path:
        return self.root / checked(key)

    def _walk(self, folder: Path) -> Iterator[Stored]:
        try:
            entries = sorted(os.scandir(folder), key=lambda one: one.name)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self.failed(str(folder.relative_to(self.root)), error) from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(path)
            elif entry.is_file():
                with suppress(FileNotFoundError):
                    known = entry.stat()
                    modified = datetime.fromtimestamp(known.st_mtime, UTC)
                    yield Stored(path.relative_to(self.root).as_posix(), known.st_size, modified)


class FolderWriting:
    """A file that lies aside until it is whole."""

    def __init__(self, store: FolderStore, path: Path, *, only_new: bool = False) -> None:
        self.store, self.path, self.only_new = store, path, only_new
        self.key = path.relative_to(store.root).as_posix()
        try:
            descriptor, name = tempfile.mkstemp(dir=store.aside())
        except OSError as error:
            raise store.failed(self.key, error) from error
        self._aside: Path | None = Path(name)
        self._file = os.fdopen(descriptor, "wb", buffering=0)

    def write(self, data: bytes) -> int:
        view, written = memoryview(data), 0
        try:
            while written < len(view):
                written += self._file.write(view[written:])
        except OSError as error:
            raise self.store.failed(self.key, error) from error
        return written

    def commit(self) -> None:
        assert self._aside is not None, "it was committed or aborted before"
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            self._place(self._aside)
        except FileExistsError as error:
            raise ObjectFailed(
                f"{self.store.address}/{self.key} is there already", "another one was faster; look at it"
            ) from error
        except OSError as error:
            raise self.store.failed(self.key, error) from error
        self._aside = None

    def abort(self) -> None:
        self._file.close()
        aside, self._aside = self._aside, None
        if aside is not None:
            with suppress(OSError):
                aside.unlink()

    def _place(self, aside: Path) -> None:
        while True:
            made = _make_folders(self.path.parent, self.store.root)
            try:
                if self.only_new:
                    os.link(aside, self.path)
                    aside.unlink()
                else:
                    aside.replace(self.path)
                break
            except FileNotFoundError:
                if not aside.exists():
                    raise
                # Somebody deleted the last object beside it, and the empty folder with it.
        for folder in (self.path.parent, *made):
            _to_disk(folder)


def _make_folders(folder: Path, root: Path) -> list[Path]:
    """The folders above those that had to be made: their entries must reach the disk too."""
    absent = []
    while folder != root and not folder.exists():
        absent.append(folder)
        folder = folder.parent
    for one in reversed(absent):
        one.mkdir(mode=0o700, exist_ok=True)
    return [one.parent for one in absent]


def _to_disk(folder: Path) -> None:
    with suppress(FileNotFoundError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
