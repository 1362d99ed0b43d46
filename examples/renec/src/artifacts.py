"""The folder of artifacts (pages as fetched, exports) and its quota."""

from __future__ import annotations

import errno
from pathlib import Path


class ArtifactsFull(OSError):
    """The folder of artifacts has reached its quota."""

    def __init__(self, folder: Path, used: int, quota: int) -> None:
        super().__init__(errno.ENOSPC, f"artifacts hold {used} of {quota} bytes; remove old exports", str(folder))


def bytes_used(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    total = 0
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                total += path.stat().st_size
        except FileNotFoundError:  # another process may be clearing the folder
            continue
    return total


def require_room(folder: Path, quota: int) -> None:
    """Raises ArtifactsFull when the quota is reached."""
    used = bytes_used(folder)
    if used >= quota:
        raise ArtifactsFull(folder, used, quota)
