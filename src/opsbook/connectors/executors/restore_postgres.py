"""Changes of the kind `restore-postgres`: a database made of a backup, verified, and only then given its name.

effect: `component`; `backup`, `stamp` and `manifest` (SHA-256 of the manifest that was planned for); `database`, the
name it gets; `tables` (only their rows; empty: all); `jobs`; `assertions` (ids) that must hold; `replaces`: the
database of this name is dropped, after every object of the backup was read and its schema restored.

Until it is whole it has a working name, and where anything fails it is dropped. One that this change made before it was
cut off is dropped too, and the change begins anew; one that it finished is left as it is.

result: `database`, `phases`, `seconds`, `rows`, `tables`, `counts`, `remarks`, `asserted`, `left_out`.
"""

from __future__ import annotations

import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from opsbook.book.system import System
from opsbook.connectors.backups import postgres_databases as databases
from opsbook.connectors.backups.judging import holds
from opsbook.connectors.backups.manifest import DatabaseFacts, Part, Phase
from opsbook.connectors.backups.opened import opened_backup
from opsbook.connectors.backups.postgres_restore import Contents, Restoring, Target, in_parallel
from opsbook.connectors.backups.postgres_verify import Verified, ask, verify
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.restore_work import Tell, on_stoppable_thread, target_of
from opsbook.connectors.postgres_change import Database, application_name
from opsbook.connectors.registry import executor
from opsbook.errors import OpsbookError, Refused

MADE = "opsbook: restored by "
SAID = 10
"""Problems that are told in an error; the others are counted."""


@executor("restore-postgres")
class RestorePostgres:
    """Restores."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused where the backup is not the planned one or the name is taken, ChangeFailed for damage."""
        server, _ = await target_of(self.connections, change.effect["component"], key)

        def work(stop: threading.Event, tell: Tell) -> dict[str, Json]:
            return restore(self.system, server, key, change.effect, stop, tell, known_key(self.connections))

        return Done(await on_stoppable_thread(work, out))

    async def end(self, key: str, change: Change) -> bool:
        """End the sessions of the change; what they made has a working name, and the next attempt drops it."""
        return await Database(self.connections, change.effect["component"], write=True).end(application_name(key))


def restore(
    system: System,
    server: Target,
    key: str,
    effect: dict[str, Any],
    stop: threading.Event,
    tell: Tell,
    known: str = "",
) -> dict[str, Json]:
    """Make the database. Blocking; every failure is certain, for what was made is dropped."""
    try:
        with opened_backup(system, effect["backup"], effect["stamp"], known) as backup:
            if effect["manifest"] and backup.digest != effect["manifest"]:
                raise Refused(f"the manifest of {backup.manifest.folder} is not the one that was planned", "plan anew")
            if databases.comment_of(server, effect["database"]) == MADE + key:
                return {"database": effect["database"], "already": True}
            with backup.held_if_possible(key, tell):
                return Making(system, server, key, effect, stop, tell, backup).run()
    except (ChangeFailed, Refused):
        raise
    except OpsbookError as error:
        raise ChangeFailed(error.message, error.hint) from error


class Restorable(Contents, Protocol):
    """What a database can be made of: a stored backup, or a server that stands at the point that is wanted."""

    def faults(self) -> list[str]: ...
    def remarks(self) -> list[str]: ...
    def check(self, part: Part) -> str:
        """What is wrong with a stored part; empty where it is good."""
        ...


class Making:
    """Makes a database under a working name, verifies it, and gives it its own."""

    def __init__(
        self, system: System, server: Target, key: str, effect: dict[str, Any], stop: threading.Event, tell: Tell,
        backup: Restorable,
    ) -> None:  # fmt: skip
        self.system, self.server, self.key, self.effect = system, server, key, effect
        self.stop, self.tell, self.backup = stop, tell, backup
        if backup.manifest.database is None:
            raise ChangeFailed(f"{backup.manifest.folder} holds no database", "name a backup of one")
        self.name = str(effect["database"])
        self.phases: list[Phase] = []

    @property
    def facts(self) -> DatabaseFacts:
        """Of a server the rows are known only when they have been read."""
        facts = self.backup.manifest.database
        assert facts is not None
        return facts

    def run(self) -> dict[str, Json]:
        started = time.monotonic()
        self._fits()
        for name in databases.drop_left(self.server, self.key, time.time()):
            self.tell(f"dropped {name}, which an earlier attempt left\n")
        if self.effect.get("replaces"):
            self._read_all()
        working = databases.working_name(self.key, time.time())
        try:
            told = self._make(working)
            databases.rename(self.server, working, self.name, MADE + self.key)
        except BaseException:
            with suppress(OpsbookError):
                databases.drop(self.server, working)
            raise
        return {
            "database": self.name, "backup": self.backup.manifest.folder,
            "seconds": round(time.monotonic() - started, 3),
            "phases": {phase.name: phase.seconds for phase in self.phases}, **told,
        }  # fmt: skip

    def _fits(self) -> None:
        if faults := self.backup.faults():
            raise ChangeFailed(f"{self.backup.manifest.folder}: {_several(faults)}", "restore another one")
        if not self.effect.get("replaces") and databases.exists(self.server, self.name):
            raise Refused(f"there is a database {self.name} already", "name another with --to, or drop it first")
        with self.server.session() as connection:
            found = connection.execute("SELECT rolname::text FROM pg_roles").fetchall()
            here = {str(row[0]) for row in found}
            version = connection.info.server_version
        if lacking := sorted({*self.facts.roles, self.facts.owner} - here):
            raise ChangeFailed(
                f"the server has no role {', '.join(lacking)}, which the backup's schema names",
                f"create it: CREATE ROLE {lacking[0]} NOLOGIN",
            )
        if version // 10_000 < self.facts.server_version // 10_000:
            raise ChangeFailed(
                f"the backup is of PostgreSQL {self.facts.server_version // 10_000}, newer than the server's"
                f" {version // 10_000}",
                "restore into a server of that version or newer",
            )

    def _read_all(self) -> None:
        """Every object, before anything is dropped."""
        started = time.monotonic()
        parts = list(self.backup.manifest.parts)
        wrong = [one for one in in_parallel(int(self.effect["jobs"]), parts, self.backup.check, self.stop) if one]
        if wrong:
            raise ChangeFailed(_several(wrong), "nothing was dropped; restore another backup")
        self.phases.append(Phase(name="checksums", seconds=round(time.monotonic() - started, 3)))

    def _room(self) -> None:
        """Drop what is replaced, once the backup has shown that this server can take its schema."""
        databases.drop(self.server, self.name)
        self.tell(f"dropped {self.name}\n")

    def _make(self, working: str) -> dict[str, Json]:
        remarks = databases.create_database(self.server, working, self.facts)
        target, only = self.server.at(working), frozenset(self.effect.get("tables") or ())
        restoring = Restoring(
            self.backup, target, int(self.effect["jobs"]), Path(tempfile.gettempdir()), only, self.stop, self.tell,
            self.phases, self._room if self.effect.get("replaces") else lambda: None,
        )  # fmt: skip
        restoring.run()
        started = time.monotonic()
        found = verify(target, self.facts, jobs=int(self.effect["jobs"]), only=only, stop=self.stop)
        asked = [] if only else ask(target, assertions_of(self.system, self.effect), holds)
        found.problems += [one.message for one in asked if not one.holds]
        self.phases.append(Phase(name="verified", seconds=round(time.monotonic() - started, 3)))
        _tell_verified(found, self.tell)
        if not found.good:
            raise ChangeFailed(
                f"what was restored is not what was backed up: {_several(found.problems)}", "restore another backup"
            )
        return {
            "rows": found.rows, "tables": found.tables, "counts": found.counts,
            "remarks": [*self.backup.remarks(), *remarks, *found.remarks],
            "asserted": [{"id": one.id, "holds": one.holds, "value": one.value} for one in asked],
            "left_out": restoring.left_out, "amcheck": found.amcheck,
        }  # fmt: skip


def known_key(connections: Connections) -> str:
    """The public key that signs in the name of this opsbook; empty where none is known."""
    return connections.signer.public if connections.signer else ""


def assertions_of(system: System, effect: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """The assertions of the effect, as the book says them now."""
    wanted = set(effect.get("assertions") or ())
    return [(one.id, one.title, one.sql, one.expect) for one in system.model.assertions if one.id in wanted]


def _tell_verified(found: Verified, tell: Tell) -> None:
    for remark in found.remarks:
        tell(f"{remark}\n")
    for problem in found.problems:
        tell(f"damage: {problem}\n")
    if found.good:
        tell(f"verified: {found.tables} tables, {found.rows:,} rows, as they were backed up\n")


def _several(problems: list[str]) -> str:
    more = f"; and {len(problems) - SAID} more" if len(problems) > SAID else ""
    return "; ".join(problems[:SAID]) + more
