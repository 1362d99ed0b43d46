"""Changes of the kind `files-purge`: old files of a folder deleted.

effect: `folder`; `pattern`, of names or of paths within it; `seconds`, the age; `most`, the ceiling. Files alone: no
folder and no link is removed, none is followed. The age counts from when it is applied. result: `files`, `bytes`.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.registry import executor
from opsbook.errors import Refused


@executor("files-purge")
class FilesPurge:
    """Deletes."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused where more are that old than were foreseen: then none was deleted."""
        return Done(await asyncio.to_thread(_purge, change.effect))

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of it outlives this process."""
        return True


def old_files(folder: Path, pattern: str, before: float) -> Iterator[tuple[Path, int]]:
    """Files whose content is older, with their bytes."""
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root) / name
            if not (fnmatch(name, pattern) or fnmatch(str(path.relative_to(folder)), pattern)):
                continue
            try:
                about = path.lstat()
            except FileNotFoundError:
                continue
            if stat.S_ISREG(about.st_mode) and about.st_mtime < before:
                yield path, about.st_size


def _purge(effect: dict[str, Any]) -> dict[str, Json]:
    before = time.time() - effect["seconds"]
    found = list(old_files(Path(effect["folder"]), effect["pattern"], before))
    if len(found) > effect["most"]:
        raise Refused(f"{len(found):,} files are that old, more than the {effect['most']:,} allowed", "raise `most`")
    count = size = 0
    for path, length in found:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ChangeFailed(
                f"{path}: {error.strerror}; {count:,} files were deleted before", "see its owner"
            ) from error
        count, size = count + 1, size + length
    return {"files": count, "bytes": size}
