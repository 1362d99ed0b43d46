"""Changes of the kind `backup-prune`: a stored backup deleted, or what dead attempts have left removed.

effect: `act` (`delete`, `sweep`), `backup`, `place` (`first` or `second` store); of `delete` `stamp`, and
`stays`: the stamp of the newest good one that is kept.

A deletion takes the manifest first: killed at any point, what is left is no backup and is removed when it is done
again. What must stay by now, because a drill holds it or a better one was lost, stays: the result says why.

result of `delete`: `deleted`, or `kept` and why; of `sweep`: `removed`, the folders.
"""

from __future__ import annotations

import asyncio
from typing import Any

from opsbook.clock import SystemClock
from opsbook.connectors.backups.attempts import sweep
from opsbook.connectors.backups.catalogue import backup_named, backup_store
from opsbook.connectors.backups.pruning import SECOND, delete
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.registry import executor
from opsbook.errors import OpsbookError


@executor("backup-prune")
class BackupPruneExecutor:
    """Removes what nobody keeps."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed where a store refuses; what was not deleted is whole."""
        try:
            result = await asyncio.to_thread(self._act, change.effect)
        except OpsbookError as error:
            raise ChangeFailed(error.message, error.hint) from error
        if why := result.get("kept"):
            await out.write(f"{change.effect['stamp']} stays: {why}\n")
        return Done(result)

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of it outlives this process."""
        return True

    def _act(self, effect: dict[str, Any]) -> dict[str, Json]:
        system, signer, now = self.connections.system, self.connections.signer, SystemClock().now()
        backup = backup_named(system, effect["backup"])
        if effect["act"] == "delete":
            known = signer.public if signer else ""
            why = delete(system, backup, effect["place"], effect["stamp"], effect["stays"], now, known)
            return {"kept": why} if why else {"deleted": f"{backup.id}/{effect['stamp']}"}
        store = backup_store(system, backup, backup.copy_to if effect["place"] == SECOND else None)
        try:
            return {"removed": list[Json](sweep(store, backup.id, now))}
        finally:
            store.close()
