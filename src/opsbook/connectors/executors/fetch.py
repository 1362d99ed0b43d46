"""Changes of the kind `fetch`: a file or folder of a workload, brought to this host.

effect: `workload`, `instance` (any that is ready where empty), `path`, `to` (from the book's folder), `most` (bytes),
`overwrite`.
guard: `digest` of what was at `to` when it was planned, or "absent".
result: `path`, `instance`, `files`, `bytes`, `digest`, `left_out` (links that lead out, devices), `previous`.

It arrives under a name beside its target, is unpacked without trust, and renamed. What is there already and is the same
stays; what differs is refused unless asked, and then kept beside it as `.NAME.DIGEST.previous`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
from contextlib import aclosing, suppress
from pathlib import Path
from typing import IO, Any, cast

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections, ReadFailed
from opsbook.connectors.inside.files import ABSENT, copy_from, instances, kept_name
from opsbook.connectors.inside.unpacking import Unpacked, digest_of, unpack
from opsbook.connectors.registry import executor
from opsbook.connectors.runtimes.contract import NoTar
from opsbook.errors import Refused, Unreachable

KIND = "fetch"
OVERHEAD = 1.1
"""How much longer than its content an archive of usual files is; of very small ones more, which `ENTRIES` bears."""
ENTRIES = 64 << 20


@executor(KIND)
class Fetch:
    """Reads within a workload, and writes on this host."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused where something else is there, ChangeFailed where it could not be read or written."""
        effect = change.effect
        target = self.system.path(effect["to"])
        part = target.with_name(f".{target.name}.{_mark(key)}.part")
        try:
            instance = (await instances(self.connections.runtime, effect["workload"], effect["instance"]))[0]
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            # Beside its target: it may be larger than a folder for temporary files.
            with tempfile.TemporaryFile(dir=target.parent) as spool:
                await self._read(effect, instance, cast(IO[bytes], spool), out)
                told, previous = await asyncio.to_thread(
                    _placed, cast(IO[bytes], spool), part, target, effect, (change.guard or {}).get("digest", "")
                )
        except (ReadFailed, NoTar, Unreachable) as error:
            raise ChangeFailed(error.message, error.hint) from error
        except OSError as error:
            raise ChangeFailed(f"{target}: {error.strerror}", "check its folder, permissions and free space") from error
        finally:
            await asyncio.to_thread(_removed, part)
        for one in told.left_out:
            await out.write(f"left out: {one}\n")
        await out.write(f"{target}: {told.files} files, {told.bytes:,} bytes\n")
        result = {"path": str(target), "instance": instance or effect["workload"], "files": told.files,
                  "bytes": told.bytes, "digest": await asyncio.to_thread(digest_of, target),
                  "left_out": told.left_out}  # fmt: skip
        return Done({**result, **({"previous": previous} if previous else {})})

    async def end(self, key: str, change: Change) -> bool:
        """What was left of it beside its target is removed; nothing of it runs."""
        target = self.system.path(change.effect["to"])
        await asyncio.to_thread(_removed, target.with_name(f".{target.name}.{_mark(key)}.part"))
        return True

    async def _read(self, effect: dict[str, Any], instance: str, spool: IO[bytes], out: Sink) -> None:
        most, read = int(effect["most"] * OVERHEAD) + ENTRIES, 0
        runtime = self.connections.runtime
        async with aclosing(copy_from(runtime, effect["workload"], effect["path"], instance)) as pieces:
            async for piece in pieces:
                read += len(piece)
                if read > most:
                    raise ReadFailed(f"{effect['path']} is larger than {effect['most']:,} bytes", "raise `most`")
                spool.write(piece)


def _placed(spool: IO[bytes], part: Path, target: Path, effect: dict[str, Any], guard: str) -> tuple[Unpacked, str]:
    spool.seek(0)
    _removed(part)
    told = unpack(spool, part, effect["most"])
    now, came = digest_of(target), digest_of(part)
    if now == came:
        return told, ""
    kept = target.with_name(kept_name(target.name, guard))
    # What was there is kept already, and its place not taken yet: it was cut off between the two.
    cut_off = guard not in ("", ABSENT) and now == ABSENT and digest_of(kept) == guard
    if guard and now != guard and not cut_off:
        raise Refused(f"{target} has changed since this was planned", "look at it, and plan anew")
    previous = str(kept) if cut_off else ""
    if now != ABSENT:
        if not effect["overwrite"]:
            raise Refused(f"{target} is there already, and differs", "name another place, or say `overwrite: true`")
        kept = target.with_name(kept_name(target.name, now))
        _removed(kept)
        target.rename(kept)
        previous = str(kept)
    part.rename(target)
    _synced(target.parent)
    return told, previous


def _synced(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _removed(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _mark(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:12]
