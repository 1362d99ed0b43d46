"""Changes of the kind `drill-restore`: a backup restored where nothing can be lost, verified, asked, and measured.

effect: `component`; `backup`, `stamp`, `manifest` as for a restore; `jobs`; `assertions` (ids). A database is restored
into a server of our own that is removed afterwards; files into a folder, and Redis' RDB into a server, likewise.

What is damaged is no failure of the change: the result says so, and a proof is laid beside the backup either way.

result: `good`, `problems`, `remarks`, `phases`, `restored_seconds`, `verified_seconds`, `rto_seconds`, `rpo_seconds`,
`lost_rows` and `lost` by table (None where the live database cannot be asked), `backup`, `stamp`, `rows`, `tables`.
"""

from __future__ import annotations

import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from opsbook.book.system import System
from opsbook.connectors.backups.files_restore import unpack
from opsbook.connectors.backups.judging import holds
from opsbook.connectors.backups.manifest import DatabaseFacts, Phase, Proof, TableFacts
from opsbook.connectors.backups.opened import OpenedBackup, opened_backup
from opsbook.connectors.backups.postgres_databases import create_database, create_roles
from opsbook.connectors.backups.postgres_restore import Interrupted, Restoring, Target
from opsbook.connectors.backups.postgres_verify import Asked, ask, smoke, verify
from opsbook.connectors.backups.redis_restore import FILE, load, write_rdb
from opsbook.connectors.backups.scratch import Scratch, scratch_server
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.restore_postgres import assertions_of, known_key
from opsbook.connectors.executors.restore_work import Tell, on_stoppable_thread, target_of
from opsbook.connectors.postgres import PostgresComponent
from opsbook.connectors.registry import executor
from opsbook.errors import OpsbookError, Refused

NAME = "drill"
"""The database in the scratch server."""
COUNTED_ROWS = 5_000_000
"""A live table that is thought to be larger is not counted, but estimated."""
COUNT_SECONDS = 30
HOLD_LASTS = timedelta(days=1)
"""The longest that a drill may take: it keeps its backup from being pruned so long, also where it was killed."""
LARGEST_LOG = 2 << 30
"""Bytes that the scratch server may hold in its log at a time."""

COUNT = """
SELECT c.reltuples::bigint FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE format('%%I.%%I', n.nspname, c.relname) = %s
"""


@executor("drill-restore")
class RestoreDrill:
    """Drills."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused and ChangeFailed where the drill itself cannot be held: no room, no server to restore into."""
        effect, live = change.effect, None
        if isinstance(self.system.components.get(effect["component"]), PostgresComponent):
            server, name = await target_of(self.connections, effect["component"], key)
            live = server.at(name)

        def work(stop: threading.Event, tell: Tell) -> dict[str, Json]:
            return drill(self.system, effect, live, key.partition("/")[0], stop, tell, known_key(self.connections))

        return Done(await on_stoppable_thread(work, out))

    async def end(self, key: str, change: Change) -> bool:
        """A server that was left behind belongs to a dead process: the next drill removes it."""
        return True


@dataclass
class Drilled:
    """What a drill found out."""

    began: float = field(default_factory=time.monotonic)
    phases: list[Phase] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    asserted: list[Asked] = field(default_factory=list)
    restored: float | None = None
    verified: float | None = None
    serving: float | None = None
    rows: int = 0
    tables: int = 0

    def passed(self) -> float:
        """Seconds since it began."""
        return round(time.monotonic() - self.began, 3)

    def phase(self, name: str, since: float) -> None:
        """Note how long a phase took that began at so many seconds."""
        self.phases.append(Phase(name=name, seconds=round(self.passed() - since, 3)))


def drill(
    system: System,
    effect: dict[str, Any],
    live: Target | None,
    run: str,
    stop: threading.Event,
    tell: Tell,
    known: str = "",
) -> dict[str, Json]:
    """Hold a drill and lay its proof beside the backup. Blocking."""
    now = datetime.now(UTC)
    try:
        with opened_backup(system, effect["backup"], effect["stamp"], known) as backup:
            if effect["manifest"] and backup.digest != effect["manifest"]:
                raise Refused(f"the manifest of {backup.manifest.folder} is not the one that was planned", "plan anew")
            tell(f"{backup.manifest.folder}: data of {backup.manifest.data_time:%Y-%m-%d %H:%M:%S} UTC\n")
            with backup.held(f"drill-{run}", "a drill restores it", now, HOLD_LASTS):
                drilled = _drilled(system, backup, effect, stop, tell)
            told = _told(drilled, backup, now)
            if live is not None and backup.manifest.database is not None and drilled.restored is not None:
                told |= lost_rows(live, backup.manifest.database.tables, tell)
            backup.prove(_proof(drilled, now, run))
            return told
    except (ChangeFailed, Refused):
        raise
    except OpsbookError as error:
        raise ChangeFailed(error.message, error.hint) from error


def _drilled(
    system: System, backup: OpenedBackup, effect: dict[str, Any], stop: threading.Event, tell: Tell
) -> Drilled:
    drilled = Drilled(problems=backup.faults(), remarks=backup.remarks())
    if drilled.problems:
        return drilled
    facts = backup.manifest.database
    if facts is None:
        _drilled_files(backup, drilled, stop, tell)
        return drilled
    parents = [backup.folder] if backup.folder else []
    needs = 2 * backup.manifest.plain + min(backup.manifest.plain, LARGEST_LOG)
    with scratch_server(facts.server_version, needs, parents, int(effect["jobs"]) * 3 + 10) as scratch:
        drilled.phase("scratch server", 0.0)
        try:
            _restored(backup, facts, scratch, effect, drilled, stop, tell)
            _proven(system, facts, scratch, effect, drilled, stop, tell)
        except Refused:
            raise
        except OpsbookError as error:
            if isinstance(error, Interrupted):
                raise
            drilled.problems.append(error.message)
            tell(f"damage: {error.message}\n")
    return drilled


def _drilled_files(backup: OpenedBackup, drilled: Drilled, stop: threading.Event, tell: Tell) -> None:
    """Files into a folder, a snapshot of Redis into a server; both are removed."""
    with tempfile.TemporaryDirectory(prefix="opsbook-drill-") as folder:
        try:
            if backup.manifest.method == "rdb":
                write_rdb(backup, Path(folder) / FILE)
                drilled.phase("data", 0.0)
                drilled.restored = drilled.passed()
                drilled.rows = load(Path(folder) / FILE, stop).total
                drilled.phase("verified", drilled.restored)
            elif backup.manifest.method == "files":
                found = unpack(backup, Path(folder), stop)
                drilled.restored = drilled.passed()
                drilled.rows, drilled.problems = found.files, found.problems
                drilled.phase("data", 0.0)
            else:
                raise Refused(f"a backup by {backup.manifest.method} cannot be drilled", "drill another one")
        except (Refused, Interrupted):
            raise
        except OpsbookError as error:
            drilled.problems.append(error.message)
            tell(f"damage: {error.message}\n")
            return
    drilled.verified = drilled.serving = drilled.passed()


def _restored(
    backup: OpenedBackup, facts: DatabaseFacts, scratch: Scratch, effect: dict[str, Any], drilled: Drilled,
    stop: threading.Event, tell: Tell,
) -> None:  # fmt: skip
    server = Target(scratch.parameters(), "opsbook:drill")
    create_roles(server, [*facts.roles, facts.owner])
    drilled.remarks += create_database(server, NAME, facts)
    Restoring(
        backup, server.at(NAME), int(effect["jobs"]), scratch.folder, frozenset(), stop, tell, drilled.phases
    ).run()
    drilled.restored = drilled.passed()


def _proven(
    system: System, facts: DatabaseFacts, scratch: Scratch, effect: dict[str, Any], drilled: Drilled,
    stop: threading.Event, tell: Tell,
) -> None:  # fmt: skip
    target, began = Target(scratch.parameters(NAME), "opsbook:drill"), drilled.passed()
    found = verify(target, facts, jobs=int(effect["jobs"]), scratch=True, stop=stop)
    drilled.problems += found.problems
    drilled.remarks += found.remarks
    drilled.rows, drilled.tables = found.rows, found.tables
    drilled.phase("verified", began)
    drilled.verified, began = drilled.passed(), drilled.passed()
    drilled.asserted = ask(target, assertions_of(system, effect), holds)
    drilled.problems += [one.message for one in drilled.asserted if not one.holds]
    drilled.phase("assertions", began)
    began = drilled.passed()
    drilled.problems += smoke(target, facts.tables)
    drilled.phase("smoke", began)
    drilled.serving = drilled.passed()
    for problem in drilled.problems:
        tell(f"damage: {problem}\n")


def _told(drilled: Drilled, backup: OpenedBackup, now: datetime) -> dict[str, Json]:
    manifest = backup.manifest
    return {
        "good": not drilled.problems,
        "problems": drilled.problems,
        "remarks": drilled.remarks,
        "phases": {phase.name: phase.seconds for phase in drilled.phases},
        "restored_seconds": drilled.restored,
        "verified_seconds": drilled.verified,
        "rto_seconds": drilled.serving,
        "rpo_seconds": round((now - manifest.data_time).total_seconds(), 1),
        "lost_rows": None,
        "lost": None,
        "backup": manifest.backup,
        "stamp": manifest.stamp,
        "data_time": manifest.data_time.timestamp(),
        "at": now.timestamp(),
        "bytes": manifest.plain,
        "rows": drilled.rows,
        "tables": drilled.tables,
        "asserted": [{"id": one.id, "holds": one.holds, "value": one.value} for one in drilled.asserted],
    }


def _proof(drilled: Drilled, now: datetime, run: str) -> Proof:
    return Proof(
        at=now, good=not drilled.problems, kind="drill", problems=tuple(drilled.problems),
        phases=tuple(drilled.phases), tables=drilled.tables, rows=drilled.rows, run=run,
    )  # fmt: skip


def lost_rows(live: Target, tables: tuple[TableFacts, ...], tell: Tell) -> dict[str, Json]:
    """Rows that the live tables have more than the backup: what a loss now would cost, by counts."""
    import psycopg

    lost: dict[str, int] = {}
    try:
        with live.session() as connection:
            connection.execute(f"SET statement_timeout = '{COUNT_SECONDS}s'".encode())
            for table in tables:
                with suppress(psycopg.errors.UndefinedTable, psycopg.errors.QueryCanceled):
                    (guess,) = connection.execute(COUNT, (table.name,)).fetchone() or (0,)
                    number = int(guess)
                    if number < COUNTED_ROWS:
                        statement = f"SELECT count(*) FROM ONLY {table.name}"  # noqa: S608
                        (number,) = connection.execute(statement.encode()).fetchone() or (0,)
                    if number > table.rows:
                        lost[table.name] = number - table.rows
    except (psycopg.Error, OpsbookError) as error:
        tell(f"what would be lost cannot be counted: {error}\n")
        return {}
    return {"lost_rows": sum(lost.values()), "lost": lost}
