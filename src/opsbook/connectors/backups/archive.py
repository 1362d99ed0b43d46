"""Files and folders as one tar stream (POSIX pax format), with the SHA-256 of each, in one pass.

Names of members begin at the component's own folder where a file is in it, else at the root of the file system: so an
archive of one folder can be unpacked into any other. Owners and modes are kept; symlinks are kept as links.
"""

from __future__ import annotations

import glob
import hashlib
import os
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from opsbook.connectors.backups.manifest import FileFacts
from opsbook.connectors.backups.pipeline import PIECE, Written
from opsbook.connectors.backups.sources import Pieces, SourceFailed

BLOCK = 512
ENDING = 20 * BLOCK
TOOL = "opsbook tar"


@dataclass(frozen=True)
class Packed:
    """The stream of an archive."""

    name: str = "archive"
    role: Literal["archive"] = "archive"
    table_name: str = ""
    order: int = 0


@dataclass
class Archive:
    """Files that are packed; what is known of them grows while the stream is read."""

    paths: Sequence[Path]
    """Files, folders or patterns, absolute."""
    root: Path | None
    """Of the component: names of members begin here."""
    exclude: Sequence[str] = ()
    tell: Callable[[str], None] = lambda _: None
    tool: str = TOOL
    data_time: datetime = field(default_factory=lambda: datetime.now(UTC))
    files: list[FileFacts] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    """Files that changed while they were read: what is packed of them is of no one moment."""

    @property
    def streams(self) -> Sequence[Packed]:
        return [Packed()]

    @contextmanager
    def source(self, _stream: Packed) -> Iterator[Pieces]:
        """Its bytes. Raises SourceFailed for a file that cannot be read."""
        yield Pieces(self._members())

    def wrote(self, _stream: Packed, _written: Written) -> None:
        """Tell what changed meanwhile."""
        for name in self.changed:
            self.tell(f"{name}: it changed while it was read\n")

    def facts(self) -> Mapping[str, Any]:
        return {"files": tuple(self.files)}

    def _members(self) -> Iterator[bytes]:
        size = 0
        for path in self._found():
            for data in self._member(path):
                size += len(data)
                yield data
        yield b"\0" * (2 * BLOCK + (-(size + 2 * BLOCK)) % ENDING)

    def _found(self) -> Iterator[Path]:
        """Every file, folder and link, each once, in the order of names."""
        seen: set[Path] = set()
        for written in self.paths:
            tops = [Path(one) for one in sorted(glob.glob(str(written), include_hidden=True))]  # noqa: PTH207
            if written.exists() or written.is_symlink():
                tops = [written]
            if not tops:
                raise SourceFailed(f"{written}: there is no such file", "correct `paths` of the backup")
            for top in tops:
                for path in _walk(top):
                    if path not in seen and not self._left_out(path):
                        seen.add(path)
                        yield path

    def _left_out(self, path: Path) -> bool:
        name = self._name(path)
        return any(fnmatchcase(name, one) or fnmatchcase(path.name, one) for one in self.exclude) or any(
            fnmatchcase(str(parent), one) for parent in Path(name).parents for one in self.exclude
        )

    def _name(self, path: Path) -> str:
        if self.root is not None and path.is_relative_to(self.root):
            return path.relative_to(self.root).as_posix()
        return path.as_posix().lstrip("/")

    def _member(self, path: Path) -> Iterator[bytes]:
        name = self._name(path)
        try:
            known = path.lstat()
            entry = _entry(name, path, known)
            if entry is None:
                if name != ".":
                    self.tell(f"{name}: it is no file, folder or link, and is left out\n")
            elif entry.isreg():
                yield from self._file(name, path, entry)
            else:
                yield _header(entry)
        except FileNotFoundError:
            self.changed.append(name)  # it went away since the folder was read
        except OSError as error:
            raise SourceFailed(f"{path}: {error.strerror}", "let this user read it, or exclude it") from error

    def _file(self, name: str, path: Path, entry: tarfile.TarInfo) -> Iterator[bytes]:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            entry.size, entry.mode, entry.mtime = before.st_size, stat.S_IMODE(before.st_mode), before.st_mtime
            yield _header(entry)
            left, digest = before.st_size, hashlib.sha256()
            while left:
                # A file that was cut meanwhile is filled up: the header has told its length.
                data = file.read(min(left, PIECE)) or b"\0" * min(left, PIECE)
                digest.update(data)
                left -= len(data)
                yield data
            after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns, before.st_ino) != (after.st_size, after.st_mtime_ns, after.st_ino):
            self.changed.append(name)
        self.files.append(FileFacts(path=name, size=before.st_size, sha256=digest.hexdigest(), mode=entry.mode))
        yield b"\0" * (-before.st_size % BLOCK)


def _header(entry: tarfile.TarInfo) -> bytes:
    return entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _entry(name: str, path: Path, known: os.stat_result) -> tarfile.TarInfo | None:
    """The member without its content; None for what is no file, folder or link."""
    entry = tarfile.TarInfo(name)
    entry.mode, entry.mtime = stat.S_IMODE(known.st_mode), known.st_mtime
    entry.uid, entry.gid = known.st_uid, known.st_gid
    if stat.S_ISREG(known.st_mode):
        return entry
    if stat.S_ISDIR(known.st_mode) and name != ".":
        entry.type = tarfile.DIRTYPE
        return entry
    if stat.S_ISLNK(known.st_mode):
        entry.type, entry.linkname = tarfile.SYMTYPE, str(path.readlink())
        return entry
    return None


def _walk(top: Path) -> Iterator[Path]:
    """It, and what is below it; no other folder is entered through a link."""
    yield top
    if top.is_symlink() or not top.is_dir():
        return
    try:
        entries = sorted(top.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise SourceFailed(f"{top}: {error.strerror}", "let this user read it, or exclude it") from error
    for entry in entries:
        yield from _walk(entry)


@contextmanager
def archive(
    paths: Sequence[Path], root: Path | None, exclude: Sequence[str], tell: Callable[[str], None]
) -> Iterator[Archive]:
    """Files as the subject of a backup."""
    yield Archive(paths, root, exclude, tell)
