"""Changes of the kind `copy`: files of one folder into another, each proven by its SHA-256.

effect: `from`, `to` (folders), `files` (paths within); `remove` takes copies back that are the same as their source.

Each copy appears whole, under its own name, after its content has reached the disk and was read back. The manifest
SHA256SUMS, as `sha256sum -c` reads it, is written last: where it is, all of them are. A slice is a second.

result: `files`, `bytes`, `manifest` (its path), `sha256` (of the manifest).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import time
from pathlib import Path

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, More, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.registry import executor
from opsbook.errors import Refused

MANIFEST = "SHA256SUMS"
PIECE = 1 << 20
SLICE_SECONDS = 1.0


@executor("copy")
class Copy:
    """Copies and checks."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        """Raises Refused where another file has a name, ChangeFailed where a file cannot be read or written."""
        effect, started = change.effect, time.monotonic()
        state = cursor or {"at": 0, "bytes": 0, "sums": {}}
        source, target, files = Path(effect["from"]), Path(effect["to"]), effect["files"]
        act = _remove if effect.get("remove") else _copy
        while state["at"] < len(files):
            name = files[state["at"]]
            try:
                digest, size = await asyncio.to_thread(act, source / name, target / name)
            except OSError as error:
                where = error.filename or target / name
                raise ChangeFailed(f"{where}: {error.strerror}", "check permissions and free space") from error
            state = {"at": state["at"] + 1, "bytes": state["bytes"] + size, "sums": {**state["sums"], name: digest}}
            if time.monotonic() - started > SLICE_SECONDS and state["at"] < len(files):
                return More(state, f"{state['at']} of {len(files)} files")
        if effect.get("remove"):
            removed = await asyncio.to_thread(_forget, target / MANIFEST, files)
            return Done({"files": len(files), "manifest": removed})
        path = target / MANIFEST
        text = await asyncio.to_thread(_publish, path, state["sums"])
        await out.write(f"{len(files)} files, {state['bytes']:,} bytes, in {path}\n")
        told = {"files": len(files), "bytes": state["bytes"], "manifest": str(path)}
        return Done({**told, "sha256": hashlib.sha256(text.encode()).hexdigest()})

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of it outlives this process; a temporary file that was left is never read."""
        return True


def _copy(source: Path, target: Path) -> tuple[str, int]:
    """SHA-256 and size of the copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        found = _digest(target)
        if found != _digest(source):
            raise Refused(f"{target} is there with another content", "copy into another folder, with `under`")
        return found, target.stat().st_size
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".new")
    copied = Path(name)
    try:
        digest = hashlib.sha256()
        with os.fdopen(descriptor, "wb") as file, source.open("rb") as origin:
            while piece := origin.read(PIECE):
                digest.update(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        if _digest(copied) != digest.hexdigest():
            raise ChangeFailed(f"the copy of {source} is not the same", "check the disk of the target")
        state = source.stat()
        copied.chmod(state.st_mode & 0o777)
        os.utime(copied, ns=(state.st_atime_ns, state.st_mtime_ns))
        copied.replace(target)
    finally:
        copied.unlink(missing_ok=True)
    return digest.hexdigest(), size


def _remove(source: Path, target: Path) -> tuple[str, int]:
    if not target.exists():
        return "", 0
    digest, size = _digest(target), target.stat().st_size
    if source.exists() and _digest(source) != digest:
        raise Refused(f"{target} is no copy of {source} any more", "look at both")
    target.unlink()
    return digest, size


def _publish(path: Path, sums: dict[str, str]) -> str:
    """The manifest, with what other copies into the same folder wrote before. Its text."""
    known = _entries(path)
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted({**known, **sums}.items()))
    _write(path, text)
    return text


def _forget(path: Path, names: list[str]) -> str:
    left = {name: digest for name, digest in _entries(path).items() if name not in names}
    if left:
        _write(path, "".join(f"{digest}  {name}\n" for name, digest in sorted(left.items())))
        return str(path)
    path.unlink(missing_ok=True)
    return "removed"


def _entries(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    pairs = (line.split("  ", 1) for line in path.read_text(encoding="utf-8").splitlines() if "  " in line)
    return {name: digest for digest, name in pairs}


def _write(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(name).chmod(0o644)
    Path(name).replace(path)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()
