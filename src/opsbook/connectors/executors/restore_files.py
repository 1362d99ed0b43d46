"""Changes of the kind `restore-files`: an archive into a new folder, or a snapshot of Redis into a file, both verified.

effect: `component`; `backup`, `stamp`, `manifest` as for a database; `to`, an absolute path: a folder that is not there
or empty, or for Redis the file that is written.

result: `to`, and `files` and `bytes`, or `keys` by database as a server of our own found them.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from opsbook.book.system import System
from opsbook.connectors.backups.files_restore import restore_files
from opsbook.connectors.backups.opened import OpenedBackup, opened_backup
from opsbook.connectors.backups.redis_restore import is_rdb_of, load, write_rdb
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.restore_postgres import known_key
from opsbook.connectors.executors.restore_work import Tell, on_stoppable_thread
from opsbook.connectors.registry import executor
from opsbook.errors import OpsbookError, Refused


@executor("restore-files")
class RestoreFiles:
    """Restores what is no database."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused where the backup is not the planned one, ChangeFailed for damage and a place that is taken."""

        def work(stop: threading.Event, tell: Tell) -> dict[str, Json]:
            return restore(self.system, change.effect, stop, tell, known_key(self.connections))

        return Done(await on_stoppable_thread(work, out))

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of it outlives this process; what was half unpacked has another name, and is replaced."""
        return True


def restore(system: System, effect: dict[str, Any], stop: threading.Event, tell: Tell, known: str) -> dict[str, Json]:
    """Blocking; every failure is certain, for nothing has its name before it is verified."""
    to = Path(effect["to"])
    try:
        with opened_backup(system, effect["backup"], effect["stamp"], known) as backup:
            if effect["manifest"] and backup.digest != effect["manifest"]:
                raise Refused(f"the manifest of {backup.manifest.folder} is not the one that was planned", "plan anew")
            with backup.held_if_possible(str(to), tell):
                return _restored(backup, to, stop, tell)
    except (ChangeFailed, Refused):
        raise
    except OpsbookError as error:
        raise ChangeFailed(error.message, error.hint) from error


def _restored(backup: OpenedBackup, to: Path, stop: threading.Event, tell: Tell) -> dict[str, Json]:
    if backup.manifest.method == "rdb":
        if to.exists() and not is_rdb_of(backup, to):
            raise ChangeFailed(f"{to} is there already", "name a file that is not there")
        write_rdb(backup, to)
        try:
            loaded = load(to, stop)
        except OpsbookError:
            to.unlink(missing_ok=True)
            raise
        tell(f"{to}: {loaded.total:,} keys\n")
        return {"to": str(to), "keys": loaded.keys}
    found = restore_files(backup, to, stop)
    tell(f"{to}: {found.files:,} files, {found.bytes:,} bytes, as they were backed up\n")
    return {"to": str(to), "files": found.files, "bytes": found.bytes}
