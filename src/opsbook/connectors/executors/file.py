"""Changes of the kind `file`: one file written as a whole, or put back.

effect: `path`, from the book's folder; then either `content` (text) with `digest` (SHA-256 of it) and, for a new file,
`mode`; or `previous` (digest of a kept version that is put back); or `absent` (it is removed).
guard: `digest` of what was there when it was planned, or "absent".

A file appears at once and whole (a temporary file, fsync, rename), keeps its owner and mode, and a symbolic link stays
one. What was there is kept beside it as `.NAME.DIGEST.previous`, which `*` does not match. Doing it twice does it once.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from opsbook.book.system import System
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.registry import executor
from opsbook.connectors.text_difference import text_difference
from opsbook.errors import Refused

ABSENT = "absent"
LARGEST = 16 * 2**20
"""Bytes of a file that a change writes; a larger one is no configuration."""


@executor("file")
def make(connections: Connections) -> FileExecutor:
    """The executor for files of this host."""
    return FileExecutor(connections)


def write_file(system: System, path: str, content: str, mode: int = 0o644) -> Change:
    """The change that writes this text into the file, with its guard and its undo. Reads only.

    Raises Refused for what is no file, or too large to be kept.
    """
    target = _target(system, path)
    before, after = digest_of(target), _digest(content.encode())
    effect = {"path": path, "content": content, "digest": after, "mode": mode}
    back = {"path": path, "absent": True} if before == ABSENT else {"path": path, "previous": before}
    inverse: Change | str = Change("file", back, guard={"digest": after}, inverse="it is an undo")
    if before == after:
        inverse = "the file is as wanted already"
    size = None if before == ABSENT else target.stat().st_size
    evidence = {"size": size, "bytes": len(content.encode()), "diff": _difference(target, before, content)}
    return Change("file", effect, evidence, {"digest": before}, inverse)


def _difference(target: Path, before: str, content: str) -> list[str]:
    """What changes in the file. One that only its owner may read is not shown to those who look at plans."""
    if before == ABSENT:
        return []
    if not target.stat().st_mode & 0o077:
        return (
            ["what is there now is not shown: only its owner may read it"]
            if before != _digest(content.encode())
            else []
        )
    return text_difference(target.read_bytes().decode("utf-8", errors="replace"), content)


def digest_of(target: Path) -> str:
    """SHA-256 of the file, or "absent". Raises Refused where it is no regular file, or cannot be read."""
    try:
        if not target.exists():
            return ABSENT
        if not target.is_file() or target.stat().st_size > LARGEST:
            raise Refused(
                f"{target} is no file that can be kept (regular, at most 16 MiB)", "name a configuration file"
            )
        return _digest(target.read_bytes())
    except OSError as error:
        raise Refused(f"{target}: {error.strerror}", "check its path and permissions") from error


class FileExecutor:
    """Writes files of this host."""

    def __init__(self, connections: Connections) -> None:
        self.system = connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused where the file is not what was planned for, ChangeFailed where it cannot be written."""
        result = await asyncio.to_thread(self._apply, change)
        await out.write(f"{result['path']}: {result['did']}\n")
        return Done(result)

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of it outlives this process; a temporary file that was left is never read."""
        return True

    def _apply(self, change: Change) -> dict[str, Json]:
        target = _target(self.system, change.effect["path"])
        try:
            with alone(target):
                return self._change(target, change)
        except OSError as error:
            raise ChangeFailed(f"{target}: {error.strerror}", "check its folder, permissions and free space") from error

    def _change(self, target: Path, change: Change) -> dict[str, Json]:
        effect = change.effect
        now, wanted = digest_of(target), _wanted(effect)
        if now == wanted:
            return {"path": str(target), "did": "it is so already", "digest": now}
        expected = (change.guard or {}).get("digest")
        if expected is not None and now != expected:
            raise Refused(f"{target} has changed since this was planned", "look at it, and plan anew")
        if effect.get("absent"):
            _keep(target, now)
            target.unlink()
            synced(target.parent)
            return {"path": str(target), "did": "removed", "digest": ABSENT}
        content = self._content(target, effect)
        if now != ABSENT:
            _keep(target, now)
        replace_file(target, content, effect.get("mode", 0o644))
        return {"path": str(target), "did": "written", "digest": wanted, "previous": now}

    def _content(self, target: Path, effect: dict[str, Any]) -> bytes:
        if "previous" not in effect:
            return str(effect["content"]).encode()
        kept = _kept(target, effect["previous"])
        try:
            content = kept.read_bytes()
        except FileNotFoundError:
            raise ChangeFailed(f"the previous version {kept} is gone", "restore it from a backup") from None
        if _digest(content) != effect["previous"]:
            raise ChangeFailed(f"the previous version {kept} was changed", "look at it, and put it back by hand")
        return content


def _target(system: System, written: str) -> Path:
    """The file itself: a symbolic link stays, and what it points to is written."""
    path = (system.folder / Path(written).expanduser()).absolute()
    return path.resolve() if path.is_symlink() else path


def _wanted(effect: dict[str, Any]) -> str:
    if effect.get("absent"):
        return ABSENT
    return str(effect.get("previous") or effect.get("digest") or _digest(str(effect["content"]).encode()))


def _kept(target: Path, digest: str) -> Path:
    return target.with_name(f".{target.name}.{digest[:16]}.previous")


def _keep(target: Path, digest: str) -> None:
    kept = _kept(target, digest)
    if kept.exists() and digest_of(kept) == digest:
        return
    replace_file(kept, target.read_bytes(), 0o600, like=target)


def replace_file(target: Path, content: bytes, mode: int, like: Path | None = None) -> None:
    """Write a temporary file with the owner and mode of what is there, and rename it over that."""
    model = like or target
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".new")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if model.exists():
                found = model.stat()
                os.fchown(file.fileno(), found.st_uid, found.st_gid)
                shutil.copystat(model, name)
            else:
                os.fchmod(file.fileno(), mode)
            os.utime(name)
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    synced(target.parent)


def synced(folder: Path) -> None:
    """The rename itself reaches the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def alone(target: Path) -> Iterator[None]:
    """No other opsbook changes a file of this folder meanwhile."""
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
