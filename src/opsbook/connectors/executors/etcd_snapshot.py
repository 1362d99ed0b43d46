"""Changes of the kind `etcd-snapshot`: the etcd of a cluster written into one file of this host.

effect: `component`, `folder` (from the book's folder), `timeout`.
result: `path`, `bytes`, `sha256`, and what etcd's own program says of the file: `revision`, `keys`, `hash`, `size`.

The file gets its name when all of it is there and was looked at; it is its owner's alone to read, for it holds every
secret of the cluster. Done again it is another file.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.cluster import etcd_of
from opsbook.connectors.contract import Connections
from opsbook.connectors.etcd import save
from opsbook.connectors.process_tree import end_tree
from opsbook.connectors.registry import executor

KIND = "etcd-snapshot"


@executor(KIND)
class EtcdSnapshot:
    """Reads etcd, and writes one file on this host."""

    def __init__(self, connections: Connections) -> None:
        self.system = connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed where it cannot be read or written; nothing is left then."""
        effect = change.effect
        access = etcd_of(self.system, effect["component"])
        folder = self.system.path(effect["folder"])
        try:
            await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
            part = part_of(folder, key)
            await asyncio.to_thread(shutil.rmtree, part, ignore_errors=True)
            await asyncio.to_thread(part.mkdir, mode=0o700)
            try:
                # Its program writes the file as its umask says: the folder is private.
                found = await save(self.system, access, part / "snapshot.db", effect["timeout"], key)
                path = folder / f"{effect['component']}-etcd-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}.db"
                size, digest = await asyncio.to_thread(_placed, part / "snapshot.db", path)
            finally:
                await asyncio.to_thread(shutil.rmtree, part, ignore_errors=True)
        except OSError as error:
            raise ChangeFailed(f"{folder}: {error.strerror}", "check its permissions and free space") from error
        await out.write(f"{path}: revision {found.revision}, {found.keys} keys, {size:,} bytes\n")
        return Done({"path": str(path), "bytes": size, "sha256": digest, "revision": found.revision,
                     "keys": found.keys, "hash": found.hash, "size": found.size})  # fmt: skip

    async def end(self, key: str, change: Change) -> bool:
        """Ends its program after this process was killed, and removes the part that it left."""
        if not await end_tree(key):
            return False
        part = part_of(self.system.path(change.effect["folder"]), key)
        await asyncio.to_thread(shutil.rmtree, part, ignore_errors=True)
        return True


def part_of(folder: Path, key: str) -> Path:
    """The private folder of one attempt, which whoever comes after it finds by its key."""
    return folder / f".etcd-{hashlib.sha256(key.encode()).hexdigest()[:12]}.part"


def _placed(written: Path, path: Path) -> tuple[int, str]:
    """Gives it its name, once it is on the disk. Returns its bytes and SHA-256."""
    written.chmod(0o400)
    with written.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    size = written.stat().st_size
    written.rename(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return size, digest
