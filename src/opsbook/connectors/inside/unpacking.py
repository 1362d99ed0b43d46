"""A tar archive that came out of a container, unpacked without trust: nothing leaves the place that it is given.

Names that lead out are refused; links that lead out, devices, sockets and pipes are left out and named. Links are made
last, so that nothing is ever written through one. No bits of setuid, no owners.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from opsbook.connectors.contract import ReadFailed

CHUNK = 1 << 17
MOST_ENTRIES = 200_000
MOST_TOLD = 20
"""Entries that are named of those that were left out."""


@dataclass
class Unpacked:
    """What was unpacked."""

    files: int = 0
    bytes: int = 0
    left_out: list[str] = field(default_factory=list)


def unpack(archive: IO[bytes], target: Path, most: int) -> Unpacked:
    """Unpack it as `target`, which must not be there yet: its first entry becomes that, a file or a folder.

    At most `most` bytes are written. Raises ReadFailed with what is wrong with the archive; OSError of this host.
    """
    done = Unpacked()
    links: list[tuple[Path, str, str]] = []
    root = ""
    try:
        with tarfile.open(fileobj=archive, mode="r|") as tar:
            for number, entry in enumerate(tar):
                if number > MOST_ENTRIES:
                    raise ReadFailed(f"more than {MOST_ENTRIES:,} files are in it", "name a folder below it")
                name = _inner(entry.name)
                root = root or name
                path = _place(target, root, name)
                if entry.issym():
                    links.append((path, entry.linkname, name))
                elif entry.islnk():
                    _linked(path, _place(target, root, _inner(entry.linkname)), name, done)
                else:
                    _one(tar, entry, path, name, done, most)
    except (tarfile.TarError, EOFError) as error:
        raise ReadFailed(f"what came out is no whole archive: {error}", "read it again") from error
    if not root:
        raise ReadFailed("nothing came out", "look whether it is there, and may be read")
    for path, to, name in links:
        _link(target, path, to, name, done)
    if not os.path.lexists(target):
        raise ReadFailed(f"{done.left_out[0] if done.left_out else root} is no file and no folder", "name another")
    return done


def _inner(name: str) -> str:
    """A name without what stands for here. Raises ReadFailed for one that leads out."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or not parts or "\0" in name:
        raise ReadFailed(
            f"the archive names {name!r}, which leads out of it", "look who made this archive: do not use it"
        )
    return "/".join(parts)


def _place(target: Path, root: str, name: str) -> Path:
    if name == root:
        return target
    if not name.startswith(root + "/"):
        raise ReadFailed(f"the archive names {name!r}, which is not below {root!r}", "look who made this archive")
    return target / name[len(root) + 1 :]


def _one(tar: tarfile.TarFile, entry: tarfile.TarInfo, path: Path, name: str, done: Unpacked, most: int) -> None:
    if entry.isdir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(entry.mode & 0o777 | 0o700)
        return
    content = tar.extractfile(entry) if entry.isreg() else None
    if content is None:
        _left_out(done, f"{name} (no file)")
        return
    done.bytes += entry.size
    if done.bytes > most:
        raise ReadFailed(f"it is larger than {most:,} bytes", "name less of it, or raise `most`")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while piece := content.read(CHUNK):
            file.write(piece)
        file.flush()
        os.fchmod(file.fileno(), entry.mode & 0o777)
        os.utime(file.fileno(), (entry.mtime, entry.mtime))
    done.files += 1


def _linked(path: Path, to: Path, name: str, done: Unpacked) -> None:
    """A second name of a file that was unpacked before."""
    if not to.is_file() or to.is_symlink():
        _left_out(done, f"{name} (a second name of what is not there)")
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.link(to, path)
    done.files += 1


def _link(target: Path, path: Path, to: str, name: str, done: Unpacked) -> None:
    if path == target or not stays(path.relative_to(target).parent.as_posix(), to):
        _left_out(done, f"{name} (a link to {to})")
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.symlink_to(to)
    done.files += 1


def stays(folder: str, to: str) -> bool:
    """Whether a link in this folder of the archive stays in it, whatever other links there are.

    It may go up as far as its own folder is deep, which is no link; after that only down.
    """
    if to.startswith("/") or not to:
        return False
    parts = [part for part in to.split("/") if part not in ("", ".")]
    ups = next((n for n, part in enumerate(parts) if part != ".."), len(parts))
    depth = len([part for part in posixpath.normpath(folder).split("/") if part not in ("", ".")])
    return ups <= depth and ".." not in parts[ups:]


def _left_out(done: Unpacked, what: str) -> None:
    if len(done.left_out) < MOST_TOLD:
        done.left_out.append(what)


def digest_of(path: Path) -> str:
    """SHA-256 of a file; of a folder that of its names, kinds, links and files. `absent` where nothing is there."""
    if not os.path.lexists(path):
        return "absent"
    if path.is_file() and not path.is_symlink():
        return _file_digest(path)
    whole = hashlib.sha256()
    for name, what in _tree(path):
        whole.update(f"{name}\0{what}\0".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def _tree(root: Path) -> Iterator[tuple[str, str]]:
    if root.is_symlink() or not root.is_dir():
        yield "", f"link {root.readlink()}" if root.is_symlink() else "other"
        return
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted([*folders, *names]):
            path = Path(folder, name)
            inner = str(path.relative_to(root))
            if path.is_symlink():
                yield inner, f"link {path.readlink()}"
            elif path.is_dir():
                yield inner, "folder"
            else:
                yield inner, _file_digest(path) if path.is_file() else "other"


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
