"""Changes of the kind `pgbackrest`: what opsbook has pgBackRest do.

effect: `act`, `component`, `backup` (its id in the book), `stanza`, `config`. The acts:
- `configure`: write pgbackrest.conf for the server's user, and make the stanza; one that a person wrote stays.
- `check`: have one segment of the log archived, and find it in the repository.
- `backup`: take one of the `type`. It carries the change's key: one that was taken by an earlier attempt, or by a
  process that outlived it, is found and not taken again; where another holds pgBackRest's lock, it is waited for.
- `verify`: read all of the repository.

result of `backup`: `label`, `type`, `size`, `stored`, `seconds`, `lsn`, `wal`; of `verify`: `good`, `problems`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from opsbook.connectors.backups.catalogue import backup_named
from opsbook.connectors.backups.pgbackrest import (
    BUSY,
    Call,
    PgBackRestFailed,
    Stanza,
    damage,
    read_cluster,
    running,
    stanza_of,
    version,
    write_configuration,
)
from opsbook.connectors.backups.pgbackrest_info import KEY, Held
from opsbook.connectors.backups.postgres_restore import Interrupted, Target
from opsbook.connectors.backups.recovered_inside import key_of, name_of
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.restore_work import Tell, on_stoppable_thread, target_of
from opsbook.connectors.executors.secrets import NotReached
from opsbook.connectors.objectstore.keys import safe
from opsbook.connectors.process_tree import end_tree
from opsbook.connectors.registry import executor
from opsbook.connectors.runtimes.beside import end_beside, end_within
from opsbook.errors import Absent, OpsbookError, UsageError

BUSY_SECONDS = 1.0
FIRST_PAUSE = 2.0
"""Seconds before it is tried again; doubled each time."""


@executor("pgbackrest")
class PgBackRestExecutor:
    """Runs pgBackRest."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises NotReached where nothing was done, ChangeFailed with pgBackRest's own words."""
        server, _ = await target_of(self.connections, change.effect["component"], key)

        def work(stop: threading.Event, tell: Tell) -> dict[str, Json]:
            try:
                stanza = stanza_of(self.system, backup_named(self.system, change.effect["backup"]))
                call = Call(stanza, key, stop, tell)
                return ACTS[change.effect["act"]](call, server, change.effect)
            except ChangeFailed:
                raise
            except OpsbookError as error:
                raise ChangeFailed(error.message, error.hint) from error

        return Done(await on_stoppable_thread(work, out))

    async def end(self, key: str, change: Change) -> bool:
        """End what it started; pgBackRest keeps what it has copied for the next one."""
        return await end_tree(key) and await end_inside(self.connections, key, change.effect)


async def end_inside(connections: Connections, key: str, effect: Mapping[str, Any]) -> bool:
    """End what carries the key in the containers of a backup that is taken there. True when nothing of it runs.

    A backup that the book has no more, or takes on a host, has nothing in containers that could be asked.
    """
    system, ended = connections.system, True
    try:
        backup = backup_named(system, effect["backup"])
        place = running(system, backup) if backup.pgbackrest and backup.pgbackrest.inside else None
    except (UsageError, NotReached):
        return True
    try:
        for workload in place.workloads if place else ():
            with suppress(Absent):
                ended = await end_within(connections.runtime, workload, key) and ended
            ended = await end_beside(connections.runtime, name_of(workload), key_of(key)) and ended
    except OpsbookError:
        return False
    return ended


def _configure(call: Call, server: Target, _effect: dict[str, Any]) -> dict[str, Json]:
    stanza = call.stanza
    version(stanza.place)
    cluster = read_cluster(server, stanza.place)
    written = not stanza.by_hand()
    if written:
        write_configuration(stanza, cluster)
        call.tell(f"wrote {stanza.config}\n")
    call.run("stanza-create")
    return {"config": str(stanza.config), "written": written, "repository": stanza.address}


def _check(call: Call, server: Target, _effect: dict[str, Any]) -> dict[str, Json]:
    cluster = read_cluster(server, call.stanza.place)
    if cluster.archive_mode == "off":
        told = "archive_mode is on with the next restart of the server; nothing is archived until then"
        call.tell(f"{told}\n")
        return {"checked": False, "restart_needed": True, "note": told}
    call.run("check")
    return {"checked": True, "restart_needed": False}


def _backup(call: Call, _server: Target, effect: dict[str, Any]) -> dict[str, Json]:
    backup, started, key = call.stanza.backup, time.monotonic(), safe(call.key)
    deadline, pause, left = started + backup.timeout.total_seconds(), FIRST_PAUSE, backup.retry
    configured(call.stanza)
    waited = False
    while True:
        # Also after a failure: what took it may have died later than it said so.
        if found := call.info().taken_by(key):
            return _taken(found, round(time.monotonic() - started, 3))
        try:
            call.run("backup", f"--type={effect['type']}", f"--annotation={KEY}={key}")
            continue
        except PgBackRestFailed as error:
            if time.monotonic() > deadline or (error.code != BUSY and not left):
                raise
            if error.code != BUSY:
                left, pause = left - 1, pause * 2
                call.tell(f"{error.message}; tries again\n")
            elif not waited:
                waited = True
                call.tell("another pgBackRest has the lock; waits for it\n")
        if call.stop.wait(BUSY_SECONDS if waited else pause):
            raise Interrupted("it was stopped")


def _taken(one: Held, seconds: float) -> dict[str, Json]:
    return {
        "label": one.label, "type": one.type, "size": one.size, "stored": one.stored, "seconds": seconds,
        "lsn": one.lsn_stop, "wal": one.wal_stop, "started": one.start.isoformat(), "stopped": one.stop.isoformat(),
        "damaged_pages": one.error,
    }  # fmt: skip


def _verify(call: Call, _server: Target, _effect: dict[str, Any]) -> dict[str, Json]:
    configured(call.stanza)
    problems = damage(call.run("verify"))
    if problems:
        raise ChangeFailed(
            f"the repository is damaged: {'; '.join(problems[:10])}", "take a full backup, and look at the disk"
        )
    return {"good": True, "problems": []}


class NotConfigured(NotReached):
    """pgBackRest was never configured for a backup."""


def configured(stanza: Stanza) -> None:
    """Raises NotConfigured where there is no configuration."""
    if not stanza.configured():
        raise NotConfigured(
            f"pgBackRest is not configured for {stanza.backup.id}: there is no {stanza.config}",
            f"opsbook run configure-{stanza.backup.id}",
        )


ACTS: dict[str, Callable[[Call, Target, dict[str, Any]], dict[str, Json]]] = {
    "configure": _configure, "check": _check, "backup": _backup, "verify": _verify,
}  # fmt: skip
