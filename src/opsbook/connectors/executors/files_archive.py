"""Changes of the kind `files-archive`: old files of a folder moved into a store, compressed.

effect: `component`, `folder`; `pattern`, of names or of paths within it; `seconds`, the age; `most`, the ceiling; `to`,
the store. A slice is a second; done again it goes on with what is still there.

A file becomes `COMPONENT/PATH.CHANGED-SHA.zst` and, beside it, its SHA-256 as `sha256sum -c` reads it once unpacked.
The original goes last: after what lies in the store was read back and found to be the same, and only if nobody
wrote to it meanwhile. result: `files`, `bytes`, `stored` (bytes as they lie there), `left` (those written to).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import stat
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opsbook.book.references import Reference
from opsbook.connectors.backups.compression import Broken, opener
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, More, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.files_purge import old_files
from opsbook.connectors.executors.packing import PIECE, pack
from opsbook.connectors.objectstore.addresses import open_store
from opsbook.connectors.objectstore.contract import ObjectMissing, ObjectStore
from opsbook.connectors.objectstore.folder import FolderStore
from opsbook.connectors.objectstore.keys import safe
from opsbook.connectors.registry import executor
from opsbook.errors import OpsbookError, Refused

LONGEST_NAME = 150
_UNSAFE = re.compile(r"[^A-Za-z0-9._=-]")
SLICE_SECONDS = 1.0


@dataclass(frozen=True)
class Moved:
    """One file, and where it lies now."""

    bytes: int
    stored: int
    """0 where it was left, because somebody wrote to it."""


@executor("files-archive")
class FilesArchive:
    """Compresses, proves, removes."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        """Raises Refused where more are that old than were foreseen: then none was moved."""
        effect = change.effect
        state = cursor or {"before": time.time() - effect["seconds"], "files": 0, "bytes": 0, "stored": 0, "left": []}
        try:
            store = await asyncio.to_thread(self._store, effect["to"])
            try:
                if cursor is None and isinstance(store, FolderStore):
                    await asyncio.to_thread(store.sweep)
                state, more = await asyncio.to_thread(_slice, store, effect, state, first=cursor is None)
            finally:
                await asyncio.to_thread(store.close)
        except (Refused, ChangeFailed):
            raise
        except OpsbookError as error:
            raise ChangeFailed(error.message, error.hint) from error
        if more:
            return More(state, f"{state['files']:,} files")
        await out.write(
            f"{state['files']:,} files, {state['bytes']:,} bytes as {state['stored']:,}, in {store.address}\n"
        )
        return Done({name: state[name] for name in ("files", "bytes", "stored", "left")})

    def _store(self, to: str) -> ObjectStore:
        return open_store(self.system, Reference(to), safe(self.system.model.system))

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of it outlives this process."""
        return True


def _slice(
    store: ObjectStore, effect: dict[str, Any], state: dict[str, Any], *, first: bool
) -> tuple[dict[str, Any], bool]:
    folder, started, left = Path(effect["folder"]), time.monotonic(), list(state["left"])
    found = sorted(old_files(folder, effect["pattern"], state["before"]))
    if first and len(found) > effect["most"]:
        raise Refused(f"{len(found):,} files are that old, more than the {effect['most']:,} allowed", "raise `most`")
    files, size, stored = state["files"], state["bytes"], state["stored"]
    for path, _ in found:
        if str(path.relative_to(folder)) in left:
            continue
        if time.monotonic() - started > SLICE_SECONDS:
            return {**state, "files": files, "bytes": size, "stored": stored, "left": left}, True
        try:
            moved = moved_to(store, effect["component"], folder, path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ChangeFailed(
                f"{path}: {error.strerror}; {files:,} files were moved before", "see its owner"
            ) from error
        if not moved.stored:
            left.append(str(path.relative_to(folder)))
            continue
        files, size, stored = files + 1, size + moved.bytes, stored + moved.stored
    return {**state, "files": files, "bytes": size, "stored": stored, "left": left}, False


def moved_to(store: ObjectStore, component: str, folder: Path, path: Path) -> Moved:
    """Put one file into the store, prove it, then remove it here. Raises ChangeFailed where the copy differs."""
    before = path.lstat()
    if not stat.S_ISREG(before.st_mode):
        return Moved(0, 0)
    digest = _digest(path)
    stamp = datetime.fromtimestamp(before.st_mtime, UTC).strftime("%Y%m%dT%H%M%SZ")
    # Two names that become the same differ by their content, or hold the same.
    parts = [_UNSAFE.sub("-", part).lstrip(".")[:LONGEST_NAME] or "-"
             for part in (component, *path.relative_to(folder).parts)]  # fmt: skip
    key = f"{'/'.join(parts)}.{stamp}-{digest[:12]}.zst"
    try:
        stored = _proven(store, key, digest)
    except (ObjectMissing, Broken):
        with path.open("rb") as file:
            pack(store, key, file)
        stored = _proven_now(store, key, digest, path)
    if not stored:
        return Moved(0, 0)
    # Its name as it is once it is unpacked, so that `sha256sum -c` finds it.
    name = key.rpartition("/")[2].removesuffix(".zst")
    store.put(f"{key.removesuffix('.zst')}.sha256", f"{digest}  {name}\n".encode())
    after = path.lstat()
    if _identity(after) != _identity(before):
        store.delete(key)
        store.delete(f"{key.removesuffix('.zst')}.sha256")
        return Moved(0, 0)
    path.unlink()
    return Moved(before.st_size, stored)


def _proven_now(store: ObjectStore, key: str, digest: str, path: Path) -> int:
    try:
        return _proven(store, key, digest)
    except (ObjectMissing, Broken) as error:
        store.delete(key)
        if _digest(path) != digest:
            # Somebody writes to it: what was packed is no longer what was summed up.
            return 0
        raise ChangeFailed(f"what {store.address} holds of {path.name} is not what was sent: {error}; it stays here",
                           "check the disk or the bucket of the store") from error  # fmt: skip


def _proven(store: ObjectStore, key: str, digest: str) -> int:
    """Bytes as they lie in the store, read back and unpacked. Raises Broken, ObjectMissing."""
    summed, unpacker, size = hashlib.sha256(), opener("zstd"), 0
    with store.open(key) as stream:
        while piece := stream.read(PIECE):
            size += len(piece)
            for plain in unpacker.take(piece):
                summed.update(plain)
    unpacker.end()
    if summed.hexdigest() != digest:
        raise Broken("its content has another checksum")
    return size


def _identity(about: Any) -> tuple[int, int, int]:
    return about.st_ino, about.st_size, about.st_mtime_ns


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
