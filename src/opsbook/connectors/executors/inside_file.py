"""Changes of the kind `inside-file`: one file within an instance of a workload, written as a whole or put back.

effect: `workload`, `instance` (empty where instances share this host's files), `path` (where links lead); then either
`digest` (SHA-256), `size` and `mode` with `from` (a file of this host), `content` (text) or `secret` (a reference,
without digest and size); or `previous` (digest of the kept version that is put back), or `absent` (it is removed),
with `was` (a reference) where a secret was put there: its value must be there still.
guard: `state` of what was there when it was planned: its SHA-256, or "absent".

It arrives under a name beside its target, is held against what was sent, and renamed over it, with the owner and mode
of what was there; that is kept as `.NAME.DIGEST.previous`. Doing it twice does it once. No content is in any argument:
what goes in goes through standard input or the engine's archive.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections, ReadFailed
from opsbook.connectors.executors.secrets import NotReached, resolve
from opsbook.connectors.inside.files import ABSENT, LARGEST, Inside, NoShell, forget_arrival, put, put_back, seen
from opsbook.connectors.registry import executor
from opsbook.connectors.runtimes.contract import NoTar
from opsbook.errors import OpsbookError, Refused

KIND = "inside-file"


@executor(KIND)
class InsideFile:
    """Writes files within workloads."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused where the file is not what was planned for, ChangeFailed where it cannot be written."""
        effect, guard = change.effect, (change.guard or {}).get("state", "")
        runtime, workload, instance = self.connections.runtime, effect["workload"], effect["instance"]
        where = {"instance": instance or workload, "path": effect["path"]}
        try:
            if "absent" in effect or "previous" in effect:
                wanted = effect.get("previous", ABSENT)
                if "was" in effect:
                    guard = await self._state_of(effect["was"])
                did = await put_back(runtime, workload, instance, effect["path"], wanted, guard)
                await out.write(f"{where['instance']}:{effect['path']}: {did}\n")
                return Done({**where, "did": did})
            data = await self._data(effect)
            found = await seen(runtime, workload, instance, effect["path"])
            _refuse_moved(found, effect["path"])
            did = await put(runtime, workload, instance, found, data, effect["mode"], guard, key)
        except (ReadFailed, NoShell, NoTar) as error:
            raise ChangeFailed(error.message, error.hint) from error
        await out.write(f"{where['instance']}:{effect['path']}: {did}\n")
        told = {} if "secret" in effect else {"digest": effect["digest"], "size": effect["size"]}
        return Done({**where, "did": did, **told})

    async def end(self, key: str, change: Change) -> bool:
        """What it left beside its target is removed, where somebody can be asked to. It is never read."""
        effect = change.effect
        if "mode" in effect:
            try:
                await forget_arrival(
                    self.connections.runtime, effect["workload"], effect["instance"], effect["path"], key
                )
            except OpsbookError:
                return True  # the instance may be gone, and with it what was left
        return True

    async def _state_of(self, secret: str) -> str:
        """The state of a file that a secret was put into. Raises Refused where nobody can tell."""
        try:
            value = (await resolve(self.system, {"content": secret}))["content"]
        except NotReached as error:
            raise Refused(
                f"whether the file is still what was put there cannot be told: {error.message}",
                "make the secret readable, or look at the file and put it back by hand",
            ) from error
        return hashlib.sha256(value.encode()).hexdigest()

    async def _data(self, effect: dict[str, Any]) -> bytes:
        if "secret" in effect:
            data = (await resolve(self.system, {"content": effect["secret"]}))["content"].encode()
            if len(data) > LARGEST:
                raise ChangeFailed(f"the secret is larger than {LARGEST:,} bytes", "mount it as a volume")
            return data
        if "from" not in effect:
            return str(effect["content"]).encode()
        data = await asyncio.to_thread(content_of, Path(effect["from"]))
        if hashlib.sha256(data).hexdigest() != effect["digest"]:
            raise Refused(f"{effect['from']} has changed since this was planned", "plan anew")
        return data


def content_of(path: Path) -> bytes:
    """All of a file of this host. Raises Refused for what is none, or too large."""
    try:
        if not path.is_file():
            raise Refused(f"{path} is no file", "name a regular file of this host")
        if (size := path.stat().st_size) > LARGEST:
            raise Refused(
                f"{path} has {size:,} bytes, more than the {LARGEST:,} that are copied",
                "put it into the image, or mount a volume",
            )
        return path.read_bytes()
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", "check its path and permissions") from error


def _refuse_moved(found: Inside, planned: str) -> None:
    if found.kind not in ("file", "absent"):
        raise Refused(f"{planned} is not what it was when this was planned ({found.kind})", "look at it, and plan anew")
    if found.path != planned:
        raise Refused(f"{planned} leads to {found.path} now", "look at it, and plan anew")
