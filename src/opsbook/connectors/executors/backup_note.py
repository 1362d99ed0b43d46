"""Changes of the kind `backup-note`: what is laid beside a stored backup: a verdict, a hold.

effect: `act` (`verify`, `hold`, `release`), `backup`, `stamp`; of a hold `name`, `reason`, `lasts` in seconds (0: for
ever).

result of `verify`: `parts`, `bytes`, `content` (whether it was read through to the plain bytes), `problems`, `seconds`.
"""

from __future__ import annotations

import asyncio
import getpass
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from opsbook.book.references import MissingSecret
from opsbook.clock import SystemClock
from opsbook.connectors.backups.catalogue import Damaged, StoredBackup, backup_named, backup_store, found
from opsbook.connectors.backups.encryption import WrongKey
from opsbook.connectors.backups.manifest import Hold, Phase, Proof
from opsbook.connectors.backups.pipeline import Pace
from opsbook.connectors.backups.reading import StoredContents
from opsbook.connectors.backups.signing import Signature
from opsbook.connectors.backups.taking import at_once
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.objectstore.contract import ObjectStore
from opsbook.connectors.registry import executor
from opsbook.errors import OpsbookError

PROOF_TIME = "%Y%m%dT%H%M%S%fZ"
JOBS = 2


@executor("backup-note")
class BackupNoteExecutor:
    """Reads a stored backup, and writes beside it."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed, of `verify` where the backup is damaged."""
        pace = Pace()
        working = asyncio.ensure_future(asyncio.to_thread(self._act, key, change.effect, pace))
        try:
            result, lines = await asyncio.shield(working)
        except asyncio.CancelledError:
            pace.stop.set()
            await asyncio.wait({working})
            raise
        except OpsbookError as error:
            raise ChangeFailed(error.message, error.hint) from error
        for line in lines:
            await out.write(line + "\n")
        if lines:
            raise ChangeFailed("; ".join(lines[:3]), "restore another one, and take a new backup")
        return Done(result)

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of it outlives this process."""
        return True

    def _act(self, key: str, effect: dict[str, Any], pace: Pace) -> tuple[dict[str, Json], list[str]]:
        system, signer = self.connections.system, self.connections.signer
        backup = backup_named(system, effect["backup"])
        store = backup_store(system, backup)
        try:
            one = found(store, backup.id, effect["stamp"], signer.public if signer else "")
            if effect["act"] == "verify":
                identities = ""
                if backup.decrypt is not None:
                    try:
                        identities = system.resolve(backup.decrypt)
                    except MissingSecret:
                        identities = ""  # it may be absent here: then the stored bytes are what can be verified
                return verify(store, one, identities, pace, run=key.partition("/")[0])
            name = f"{one.folder}/hold-{effect['name']}.json"
            if effect["act"] == "release":
                store.delete(name)
                return {"released": name}, []
            now = SystemClock().now()
            until = now + timedelta(seconds=effect["lasts"]) if effect["lasts"] else None
            hold = Hold(name=effect["name"], by=getpass.getuser(), reason=effect["reason"], at=now, until=until)
            store.put(name, hold.model_dump_json(indent=1).encode())
            return {"held": name}, []
        finally:
            store.close()


def verify(
    store: ObjectStore, one: StoredBackup, identities: str, pace: Pace, *, run: str = ""
) -> tuple[dict[str, Json], list[str]]:
    """Read every part; the figures and what is wrong. A proof is laid beside the backup. Blocking."""
    manifest = one.manifest
    through = manifest.encryption == "none" or bool(identities)
    contents = StoredContents(store, manifest, identities, pace)
    problems = [f"manifest.json is {one.signature}"] if one.signature is not Signature.GOOD else []
    started = time.monotonic()
    read: Callable[[Any], object] = (lambda part: contents.read(part, len)) if through else contents.check

    def problem(part: Any) -> str:
        try:
            read(part)
        except (Damaged, WrongKey) as error:
            return error.message
        return ""

    problems += [told for told in at_once(JOBS, manifest.parts, problem, pace.stop) if told]
    seconds = round(time.monotonic() - started, 3)
    now = SystemClock().now()
    tables = manifest.database.tables if manifest.database else ()
    proof = Proof(
        at=now,
        good=not problems,
        kind="checksums",
        problems=tuple(problems),
        phases=(Phase(name="read", seconds=seconds),),
        tables=len(tables),
        rows=sum(table.rows for table in tables),
        run=run,
    )
    store.put(f"{one.folder}/proof-{now.strftime(PROOF_TIME)}.json", proof.model_dump_json(indent=1).encode() + b"\n")
    told = {"parts": len(manifest.parts), "bytes": manifest.stored, "content": through, "seconds": seconds}
    return {**told, "stamp": manifest.stamp, "problems": problems}, problems
