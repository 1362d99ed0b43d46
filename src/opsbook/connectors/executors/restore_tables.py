"""Changes of the kind `restore-tables`: the rows of chosen tables of the live database become those of a backup.

effect: as of `restore-postgres`, with `tables`; `database` is the live one. The rows come into a working database
first and are verified there; then they replace those of the live tables in one transaction, in which every foreign key
from and to them must hold. The working database is dropped whatever happens.

result: `removed` and `replaced`, rows by table; `rows`; `phases`.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from opsbook.book.system import System
from opsbook.connectors.backups import postgres_databases as databases
from opsbook.connectors.backups.opened import opened_backup
from opsbook.connectors.backups.postgres_restore import Target
from opsbook.connectors.backups.postgres_tables import replace_rows
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.restore_postgres import known_key, restore
from opsbook.connectors.executors.restore_work import Tell, on_stoppable_thread, target_of
from opsbook.connectors.postgres_change import Database, application_name
from opsbook.connectors.registry import executor


@executor("restore-tables")
class RestoreTables:
    """Brings rows back."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises what a restore raises, and ChangeFailed for a foreign key that would not hold."""
        server, _ = await target_of(self.connections, change.effect["component"], key)

        def work(stop: threading.Event, tell: Tell) -> dict[str, Json]:
            return _rows_back(self.system, server, key, change.effect, stop, tell, known_key(self.connections))

        return Done(await on_stoppable_thread(work, out))

    async def end(self, key: str, change: Change) -> bool:
        """End its sessions: rows that were not committed are taken back."""
        return await Database(self.connections, change.effect["component"], write=True).end(application_name(key))


def _rows_back(
    system: System, server: Target, key: str, effect: dict[str, Any], stop: threading.Event, tell: Tell, known: str
) -> dict[str, Json]:
    own = f"{key}/rows"
    databases.drop_left(server, own, time.time())
    aside = databases.working_name(own, time.time())
    try:
        told = restore(system, server, key, {**effect, "database": aside}, stop, tell, known)
        with opened_backup(system, effect["backup"], effect["stamp"], known) as backup:
            facts = backup.manifest.database
        if facts is None:
            raise ChangeFailed(f"{effect['backup']} holds no database", "name a backup of one")
        found = replace_rows(server.at(aside), server.at(effect["database"]), facts, effect["tables"], stop)
    finally:
        databases.drop(server, aside)
    for name, rows in found.rows.items():
        tell(f"{name}: {found.removed[name]:,} rows replaced by {rows:,}\n")
    return {"removed": found.removed, "replaced": found.rows, "rows": told["rows"], "phases": told["phases"]}
