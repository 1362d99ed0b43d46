"""An archive unpacked into a folder of its own, every file held against the manifest before the folder gets its name.

Blocking. Links are made last, so that no file is written through one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from opsbook.connectors.backups.manifest import FileFacts, Part
from opsbook.connectors.backups.opened import OpenedBackup
from opsbook.connectors.backups.postgres_restore import Interrupted
from opsbook.connectors.change import ChangeFailed

PIECE = 1 << 20


@dataclass
class Unpacked:
    """What was unpacked."""

    files: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)


def unpack(backup: OpenedBackup, folder: Path, stop: threading.Event) -> Unpacked:
    """Unpack into an empty folder. Raises Damaged where the archive is, ChangeFailed where a file cannot be written."""
    links: list[tarfile.TarInfo] = []
    found = Unpacked()
    (part,) = [part for part in backup.manifest.parts if part.role == "archive"]
    try:
        with _stream(backup, part) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for member in archive:
                    if stop.is_set():
                        raise Interrupted("the restore was stopped")
                    if member.issym() or member.islnk():
                        links.append(member)
                    else:
                        archive.extract(member, folder, numeric_owner=True, filter="tar")
            while stream.read(PIECE):
                continue  # what follows the archive's end is hashed too
        for link in links:
            _link(folder, link)
    except (OSError, tarfile.TarError) as error:
        raise ChangeFailed(f"{part.key}: {error}", "is there room, and may this user write there?") from error
    for one in backup.manifest.files:
        found.problems += _different(folder, one)
        found.files, found.bytes = found.files + 1, found.bytes + one.size
    return found


@contextmanager
def _stream(backup: OpenedBackup, part: Part) -> Iterator[BinaryIO]:
    """The plain bytes of a part, to be pulled to their end. What is wrong with them is raised as the block is left."""
    ends = os.pipe()
    reading, writing = os.fdopen(ends[0], "rb"), os.fdopen(ends[1], "wb")
    failed: list[Exception] = []

    def push() -> None:
        try:
            with writing:
                backup.read(part, writing.write)
        except BrokenPipeError:
            return  # the reader has left
        except Exception as error:  # the edge of a thread: handed to whoever reads
            failed.append(error)

    thread = threading.Thread(target=push, name="opsbook-restore-files", daemon=True)
    thread.start()
    try:
        yield reading
    except tarfile.TarError:
        while reading.read(PIECE):
            continue  # what is damaged is better told by its checksum
        thread.join()
        if failed:
            raise failed[0] from None
        raise
    finally:
        reading.close()
        thread.join()
    if failed:
        raise failed[0]


def restore_files(backup: OpenedBackup, to: Path, stop: threading.Event) -> Unpacked:
    """Unpack beside, verify, and only then give the folder its name. One that is as it should be is left so.

    Raises ChangeFailed where anything differs, or another folder has the name.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        if to.is_dir() and not any(_different(to, one) for one in backup.manifest.files):
            return Unpacked(len(backup.manifest.files), sum(one.size for one in backup.manifest.files))
        raise ChangeFailed(f"{to} is there already", "name a folder that is not there, or is empty")
    working = to.with_name(f".{to.name}.opsbook-restoring")
    shutil.rmtree(working, ignore_errors=True)
    try:
        working.mkdir(parents=True)
        found = unpack(backup, working, stop)
        if found.problems:
            raise ChangeFailed(
                f"what was unpacked is not what was backed up: {found.problems[0]}", "restore another one"
            )
        if to.exists():
            to.rmdir()
        working.rename(to)
    except OSError as error:
        raise ChangeFailed(f"{error.filename or to}: {error.strerror}", "may this user write there?") from error
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return found


def _link(folder: Path, member: tarfile.TarInfo) -> None:
    # The filter refuses a name that leads out of the folder; where the link points to is kept as it was.
    checked = tarfile.tar_filter(member, str(folder))
    path = folder / checked.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(member.linkname)


def _different(folder: Path, one: FileFacts) -> list[str]:
    path = folder / one.path
    if path.is_symlink() or not path.is_file():
        return [f"the file {one.path} is missing"]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != one.sha256:
        return [f"the file {one.path} is not what was backed up (SHA-256 differs)"]
    return []
