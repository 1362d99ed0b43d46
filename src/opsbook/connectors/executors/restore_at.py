"""Changes of the kind `restore-at`: a database as it was at a point, by pgBackRest.

effect: `component`; `backup` (its id in the book) and `label` (begin with this one; empty: as it fits); `kind` and
`target` of the point; `database`, the name that the new one gets; `tables` (only their rows); `into_live`: these tables
of the live database get their rows back, and nothing else; `jobs`; `assertions`.

The live server is made to end its log first, so that all until now is archived. pgBackRest restores the cluster into a
server of its own, which replays the log up to the point; from there the database is copied under a working name beside
the live one, held against it row for row, and only then named. Nothing of the live database is changed but by
`into_live`, in one transaction.

result: as of `restore-postgres` and `restore-tables`; and `point`, `stopped` (where the replay ended), `label`,
`writes_after`: what was written after the point, which is not in the new database.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from opsbook.book.recovery import Backup
from opsbook.book.system import System
from opsbook.connectors.backups import postgres_databases as databases
from opsbook.connectors.backups.archiving import archived_until_now, archiver_of
from opsbook.connectors.backups.catalogue import backup_named
from opsbook.connectors.backups.later_writes import later_writes
from opsbook.connectors.backups.pgbackrest import Call, Cluster, read_cluster, stanza_of
from opsbook.connectors.backups.pgbackrest_info import Point, candidates
from opsbook.connectors.backups.postgres_dump import Server
from opsbook.connectors.backups.postgres_restore import Target
from opsbook.connectors.backups.postgres_tables import replace_rows
from opsbook.connectors.backups.postgres_through import Through, through
from opsbook.connectors.backups.recovered import Recovered, recovered_server
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.pgbackrest import configured, end_inside
from opsbook.connectors.executors.restore_postgres import MADE, Making
from opsbook.connectors.executors.restore_work import Tell, on_stoppable_thread, target_of
from opsbook.connectors.postgres_change import Database, application_name
from opsbook.connectors.process_tree import end_tree
from opsbook.connectors.registry import executor
from opsbook.errors import OpsbookError, Refused


@executor("restore-at")
class RestoreAt:
    """Recovers to a point."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused where the name is taken, ChangeFailed where the point cannot be reached; nothing is left."""
        server, live = await target_of(self.connections, change.effect["component"], key)

        def work(stop: threading.Event, tell: Tell) -> dict[str, Json]:
            try:
                return _Work(self.system, server, live, key, change.effect, stop, tell).run()
            except (ChangeFailed, Refused):
                raise
            except OpsbookError as error:
                raise ChangeFailed(error.message, error.hint) from error

        return Done(await on_stoppable_thread(work, out))

    async def end(self, key: str, change: Change) -> bool:
        """End its sessions and pgBackRest; a scratch server whose process is dead is removed by the next one."""
        ended = await Database(self.connections, change.effect["component"], write=True).end(application_name(key))
        return await end_tree(key) and await end_inside(self.connections, key, change.effect) and ended


@dataclass
class _Work:
    system: System
    server: Target
    live: str
    key: str
    effect: dict[str, Any]
    stop: threading.Event
    tell: Tell

    def run(self) -> dict[str, Json]:
        into_live, name = bool(self.effect["into_live"]), self.effect["database"]
        if not into_live:
            if databases.comment_of(self.server, name) == MADE + self.key:
                return {"database": name, "already": True}
            if databases.exists(self.server, name):
                raise Refused(f"there is a database {name} already", "name another with --to, or drop it first")
        # What an earlier attempt of this change left behind still writes into a folder that is removed now.
        asyncio.run(end_tree(self.key))
        backup = backup_named(self.system, self.effect["backup"])
        point = Point(self.effect["kind"], self.effect["target"])
        call = Call(stanza_of(self.system, backup), self.key, self.stop, self.tell)
        cluster = read_cluster(self.server, call.stanza.place)
        configured(call.stanza)
        self._archived(call, point)
        begin_with = candidates(call.info(), point, self.effect["label"])
        started, seconds = time.monotonic(), backup.timeout.total_seconds()
        with recovered_server(call, cluster, point, begin_with, seconds, max(1, int(self.effect["jobs"]))) as found:
            self.tell(f"it stands at {point}: {found.stopped or 'the end of what was archived'}\n")
            told = self._copied(backup, cluster, point, found)
        phases = {"copied": found.copied_seconds, "replayed": found.replayed_seconds, **told["phases"]}
        return {
            **told, "phases": phases, "seconds": round(time.monotonic() - started, 3), "point": str(point),
            "stopped": found.stopped, "last_commit": found.last_commit, "label": found.label,
            "backup": f"{backup.id}/{found.label}",
        }  # fmt: skip

    def _archived(self, call: Call, point: Point) -> None:
        """All of the log until now into the archive, where the server can. Raises ChangeFailed where the point lies
        behind what is there."""
        late = archived_until_now(self.server, self.stop)
        if not late:
            return
        self.tell(f"the log could not be archived up to now: {late}\n")
        archiver = archiver_of(self.server)
        if point.time and (archiver.last is None or archiver.last < point.time):
            until = f"{archiver.last:%Y-%m-%d %H:%M:%S}+00" if archiver.last else "never"
            raise ChangeFailed(
                f"{point} is not archived yet; what is archived ends at {until}",
                "repair archiving, or name a time before",
            )

    def _copied(self, backup: Backup, cluster: Cluster, point: Point, found: Recovered) -> dict[str, Any]:
        source = Server(found.scratch.parameters(self.live), application_name(self.key), self.key)
        moment = point.time or datetime.now(UTC)
        with through(source, backup, found.label, moment, self.system.name, self.tell) as contents:
            self.effect = {**self.effect, "tables": _named(contents, self.effect["tables"])}
            if self.effect["into_live"]:
                return self._rows_back(contents, found)
            told = Making(self.system, self.server, self.key, self.effect, self.stop, self.tell, contents).run()
            told["writes_after"] = self._later(contents, found)
            return told

    def _rows_back(self, contents: Through, found: Recovered) -> dict[str, Any]:
        rows = f"{self.key}/rows"
        databases.drop_left(self.server, rows, time.time())
        aside = databases.working_name(rows, time.time())
        effect = {**self.effect, "database": aside, "assertions": []}
        try:
            told = Making(self.system, self.server, self.key, effect, self.stop, self.tell, contents).run()
            later, facts = self._later(contents, found), contents.manifest.database
            assert facts is not None
            names = self.effect["tables"]
            replaced = replace_rows(self.server.at(aside), self.server.at(self.live), facts, names, self.stop)
        finally:
            with suppress(ChangeFailed):
                databases.drop(self.server, aside)
        for name, count in replaced.rows.items():
            self.tell(f"{name}: {replaced.removed[name]:,} rows replaced by {count:,}\n")
        return {
            "removed": replaced.removed, "replaced": replaced.rows, "rows": told["rows"], "tables": told["tables"],
            "phases": told["phases"], "writes_after": later,
        }  # fmt: skip

    def _later(self, contents: Through, found: Recovered) -> dict[str, Json]:
        facts = contents.manifest.database
        assert facts is not None
        only = frozenset(self.effect["tables"])
        tables = [one for one in facts.tables if not only or one.name in only]
        scratch = Target(found.scratch.parameters(self.live), application_name(self.key))
        told = later_writes(self.server.at(self.live), scratch, tables)
        for line in told["sentences"]:
            self.tell(f"written after {self.effect['target'] or 'it'}: {line}\n")
        return told


def _named(contents: Through, names: list[str]) -> list[str]:
    """Tables as they were then: `name` or `schema.name` as people write them. Raises ChangeFailed."""
    facts, found = contents.manifest.database, []
    assert facts is not None
    for name in names:
        plain = {one.name: one.name.replace('"', "") for one in facts.tables}
        fitting = [key for key, text in plain.items() if name in (text, text.partition(".")[2])]
        if len(fitting) != 1:
            what = "there was no table" if not fitting else f"there were {len(fitting)} tables named"
            raise ChangeFailed(f"{what} {name} at that point", "write schema.table")
        found += fitting
    return found
