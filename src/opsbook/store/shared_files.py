"""Files that the persons of one group share, and nobody else may read: the store, its lock, its signing key.

The folder hands its group on to what is made in it, so that two persons with a common group can approve each other's
plans with the store as it comes. An existing folder keeps the permissions that it was given.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

FOLDER, FILE, KEY = 0o2770, 0o660, 0o640


def make_folder(folder: Path) -> bool:
    """Make the folder where it is not there; whether it was made."""
    if folder.exists():
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:  # another opsbook may make it at the same moment
        return False
    folder.chmod(FOLDER)
    return True


def shared(folder: Path) -> bool:
    """Whether a group works in the folder."""
    return bool(folder.stat().st_mode & 0o020)


def make_file(path: Path, mode: int = FILE) -> None:
    """Make an empty file where there is none, with these permissions whatever the umask is. Raises OSError."""
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)
