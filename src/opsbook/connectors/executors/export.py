"""Changes of the kind `export`: one bundle of the book, written into its store.

effect: `export` (its id in the book), `component`, `queries`, `formats`, `to`, `keep`.
result: `bundle`, `bytes`, `rows` by query, `removed`. A bundle is there whole or not at all; done again it is another.
"""

from __future__ import annotations

import threading

from opsbook.clock import SystemClock
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.restore_work import Tell, on_stoppable_thread, target_of
from opsbook.connectors.exports import export
from opsbook.connectors.objectstore.addresses import open_store
from opsbook.connectors.objectstore.keys import safe
from opsbook.connectors.postgres_change import Database, application_name
from opsbook.connectors.registry import executor
from opsbook.errors import OpsbookError, Refused


@executor("export")
class ExportExecutor:
    """Writes bundles."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed with the query that failed, and where the store refuses."""
        effect, system = change.effect, self.system
        one = next((each for each in system.model.exports if each.id == effect["export"]), None)
        if one is None or one.to is None:
            raise Refused(f"the book has no export {effect['export']} any more", "plan anew")
        to = one.to
        server, database = await target_of(self.connections, effect["component"], key)

        def work(stop: threading.Event, tell: Tell) -> dict[str, Json]:
            try:
                store = open_store(system, to, safe(system.model.system))
                try:
                    told = export(one, server.at(database), store, SystemClock().now(), stop, tell)
                finally:
                    store.close()
            except ChangeFailed:
                raise
            except OpsbookError as error:
                raise ChangeFailed(error.message, error.hint) from error
            bundle = f"{store.address}/{one.id}/{told.name}"
            return {"bundle": bundle, "bytes": told.bytes, "rows": dict(told.rows), "removed": list(told.removed)}

        return Done(await on_stoppable_thread(work, out))

    async def end(self, key: str, change: Change) -> bool:
        """End its session."""
        return await Database(self.connections, change.effect["component"], write=True).end(application_name(key))
