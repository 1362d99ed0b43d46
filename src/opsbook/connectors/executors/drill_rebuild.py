"""Changes of the kind `drill-rebuild`: a fresh system made from the book, restored into, started, asked, and removed.

effect: `drill` (its id in the book), `component`; `backup`, `stamp`, `manifest` as for a restore; `environment`, which
is disposable; `stop`, the components whose workloads write, in the order in which they are stopped; `files`, ids of
backups of files that are restored too; `jobs`, `assertions`, `smoke_tests` (ids).

The commands `make` and `remove` of the drill are the book's. What an earlier attempt has left is removed first, and
what this one made at its end, also where it fails or is stopped. Where this process is killed, the next attempt removes
it. The backup is held meanwhile. Nothing of the system that was backed up is changed.

result: as of `drill-restore`, with `smoke_tests`: id → seconds.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opsbook.book.recovery import Drill
from opsbook.book.references import Reference
from opsbook.book.system import in_environment
from opsbook.connectors.backups.files_restore import unpack
from opsbook.connectors.backups.judging import holds
from opsbook.connectors.backups.manifest import Proof
from opsbook.connectors.backups.opened import OpenedBackup, opened_backup
from opsbook.connectors.backups.postgres_databases import create_roles
from opsbook.connectors.backups.postgres_restore import Interrupted, Target
from opsbook.connectors.backups.postgres_verify import ask
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, More, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.restore_drill import HOLD_LASTS, Drilled, lost_rows
from opsbook.connectors.executors.restore_postgres import Making, assertions_of, known_key
from opsbook.connectors.executors.restore_work import Tell, on_stoppable_thread, target_of
from opsbook.connectors.files import FilesComponent
from opsbook.connectors.http import HttpSettings
from opsbook.connectors.process_tree import end_tree
from opsbook.connectors.registry import executor, open_connections, registered
from opsbook.connectors.runtimes.contract import Verb
from opsbook.connectors.smoke_tests import smoke_tested
from opsbook.connectors.workload import WorkloadComponent
from opsbook.errors import OpsbookError, Refused

COMMAND_SECONDS = 3600.0
"""A system that is not made or removed after an hour never will be."""
START_SECONDS = 300.0


@executor("drill-rebuild")
class DrillRebuild:
    """Drills of the whole system."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused and ChangeFailed where the drill itself cannot be held: no fresh system can be made."""
        system = self.connections.system
        drill = next((one for one in system.model.drills if one.id == change.effect["drill"]), None)
        if drill is None:
            raise Refused(f"the book has no drill {change.effect['drill']} any more", "plan anew")
        with ExitStack() as kept:
            work = _Rebuilding(self.connections, drill, key, change.effect, out, kept)
            try:
                return Done(await work.run())
            finally:
                await asyncio.to_thread(kept.close)

    async def end(self, key: str, change: Change) -> bool:
        """End its commands with all that they have started; the next attempt removes what lies there."""
        return all([await end_tree(f"{key}/{name}") for name in ("make", "remove")])


@dataclass
class _Rebuilding:
    connections: Connections
    drill: Drill
    key: str
    effect: dict[str, Any]
    out: Sink
    kept: ExitStack
    drilled: Drilled = field(default_factory=Drilled)
    smoked: dict[str, float] = field(default_factory=dict)

    async def run(self) -> dict[str, Json]:
        now, run = datetime.now(UTC), self.key.partition("/")[0]
        backup = await asyncio.to_thread(self._opened, run, now)
        # What an earlier attempt left is gone before the clock starts; a loss would leave nothing either.
        await self._command("remove", self.drill.remove)
        self.drilled.began = Drilled().began
        try:
            await self._rebuilt(backup)
        finally:
            await asyncio.shield(asyncio.ensure_future(self._command("remove", self.drill.remove)))
        told = self._told(backup, now)
        if backup.manifest.database is not None and self.drilled.restored is not None:
            server, name = await target_of(self.connections, self.effect["component"], self.key)
            tables = backup.manifest.database.tables
            told |= await on_stoppable_thread(lambda _, tell: lost_rows(server.at(name), tables, tell), self.out)
        await asyncio.to_thread(backup.prove, self._proof(now, run))
        return told

    def _opened(self, run: str, now: datetime) -> OpenedBackup:
        known, effect = known_key(self.connections), self.effect
        opened = opened_backup(self.connections.system, effect["backup"], effect["stamp"], known)
        backup = self.kept.enter_context(opened)
        if backup.digest != effect["manifest"]:
            raise Refused(f"the manifest of {backup.manifest.folder} is not the one that was planned", "plan anew")
        if faults := backup.faults():
            raise ChangeFailed(f"{backup.manifest.folder}: {faults[0]}", "drill another one")
        self.kept.enter_context(backup.held(f"drill-{run}", "a drill restores it", now, HOLD_LASTS))
        return backup

    async def _rebuilt(self, backup: OpenedBackup) -> None:
        began = self.drilled.passed()
        await self._command("make", self.drill.make)
        self.drilled.phase("fresh system", began)
        fresh = in_environment(self.connections.system.book, self.effect["environment"])
        async with open_connections(fresh, self.connections.signer, self.connections.store) as there:
            try:
                await self._restored(there, backup)
                await self._serving(there)
            except (Refused, Interrupted):
                raise
            except OpsbookError as error:
                await self._damaged(error.message)

    async def _restored(self, there: Connections, backup: OpenedBackup) -> None:
        with self._phase("stopped"):
            for name in self.effect["stop"]:
                await self._workload(there, name, Verb.STOP)
        server, database = await target_of(there, self.effect["component"], self.key)
        await on_stoppable_thread(lambda stop, tell: self._database(backup, server, database, stop, tell), self.out)
        self.drilled.restored = self.drilled.verified = self.drilled.passed()
        if self.effect["files"]:
            with self._phase("files"):
                await on_stoppable_thread(lambda stop, tell: self._all_files(there, stop, tell), self.out)
        with self._phase("started"):
            for name in reversed(self.effect["stop"]):
                await self._workload(there, name, Verb.START)

    def _database(self, backup: OpenedBackup, server: Target, database: str, stop: threading.Event, tell: Tell) -> None:
        facts = backup.manifest.database
        assert facts is not None
        create_roles(server, [*facts.roles, facts.owner])
        effect = {"database": database, "replaces": True, "jobs": self.effect["jobs"], "tables": [], "assertions": []}
        making = Making(self.connections.system, server, self.key, effect, stop, tell, backup)
        try:
            told = making.run()
        finally:
            self.drilled.phases += making.phases
        self.drilled.rows, self.drilled.tables = int(told["rows"]), int(told["tables"])
        self.drilled.remarks += told["remarks"]

    def _all_files(self, there: Connections, stop: threading.Event, tell: Tell) -> None:
        for name in self.effect["files"]:
            self._files(there, name, stop, tell)

    def _files(self, there: Connections, name: str, stop: threading.Event, tell: Tell) -> None:
        """Every file of the newest backup, to where the fresh system has them."""
        with opened_backup(self.connections.system, name, "", known_key(self.connections)) as backup:
            component = there.system.components.get(backup.manifest.component)
            if not isinstance(component, FilesComponent):
                raise ChangeFailed(f"{backup.manifest.component} is no files component of the fresh system", "")
            place = there.system.path(component.path)
            with (
                backup.held(
                    f"drill-{self.key.partition('/')[0]}", "a drill restores it", datetime.now(UTC), HOLD_LASTS
                ),
                tempfile.TemporaryDirectory(prefix="opsbook-drill-") as folder,
            ):
                found = unpack(backup, Path(folder), stop)
                if found.problems:
                    raise ChangeFailed(f"{backup.manifest.folder}: {found.problems[0]}", "drill another one")
                shutil.copytree(folder, place, symlinks=True, dirs_exist_ok=True)
            tell(f"{name}: {found.files:,} files restored\n")

    async def _serving(self, there: Connections) -> None:
        drilled, effect = self.drilled, self.effect
        server, database = await target_of(there, effect["component"], self.key)
        with self._phase("assertions"):
            asked = assertions_of(self.connections.system, effect)
            drilled.asserted = await asyncio.to_thread(ask, server.at(database), asked, holds)
            for assertion in drilled.asserted:
                if not assertion.holds:
                    await self._damaged(assertion.message)
        with self._phase("smoke"):
            wanted = [one for one in there.system.model.smoke_tests if one.id in effect["smoke_tests"]]
            for smoked in await smoke_tested(there, wanted):
                self.smoked[smoked.id] = smoked.seconds
                if not smoked.good:
                    await self._damaged(smoked.message)
        drilled.serving = drilled.passed()

    async def _workload(self, there: Connections, name: str, verb: Verb) -> None:
        """Stop or start the workload of a component, and wait until one that was started serves."""
        component = there.system.components[name]
        workload = component.workload or (name if isinstance(component, WorkloadComponent) else "")
        arguments: dict[str, Json] = {"wait": START_SECONDS}
        if verb is Verb.START and component.replicas:
            arguments["replicas"] = component.replicas
        await self._apply(there, f"{verb.value}-{name}", await there.runtime.change(workload, verb, arguments))
        if verb is Verb.START and isinstance(component, HttpSettings):
            wait = Change("wait", {"component": name, "healthy": True, "within": START_SECONDS})
            await self._apply(there, f"serves-{name}", wait)

    async def _apply(self, there: Connections, name: str, change: Change) -> None:
        one, cursor = registered().executors[change.kind](there), None
        while isinstance(done := await one.apply(f"{self.key}/{name}", change, cursor, self.out), More):
            cursor = done.cursor

    async def _command(self, name: str, argv: tuple[str, ...]) -> None:
        system = self.connections.system
        effect = {
            "argv": [system.resolve(Reference(word)) for word in argv], "timeout": COMMAND_SECONDS,
            "secrets": {variable: reference.text for variable, reference in self.drill.variables.items()},
        }  # fmt: skip
        await self._apply(self.connections, name, Change("argv", effect))

    async def _damaged(self, problem: str) -> None:
        self.drilled.problems.append(problem)
        await self.out.write(f"damage: {problem}\n")

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        began = self.drilled.passed()
        yield
        self.drilled.phase(name, began)

    def _told(self, backup: OpenedBackup, now: datetime) -> dict[str, Json]:
        drilled, manifest = self.drilled, backup.manifest
        return {
            "good": not drilled.problems, "problems": drilled.problems, "remarks": drilled.remarks,
            "phases": {phase.name: phase.seconds for phase in drilled.phases},
            "restored_seconds": drilled.restored, "verified_seconds": drilled.verified,
            "rto_seconds": drilled.serving, "lost_rows": None, "lost": None,
            "rpo_seconds": round((now - manifest.data_time).total_seconds(), 1), "backup": manifest.backup,
            "stamp": manifest.stamp, "data_time": manifest.data_time.timestamp(), "at": now.timestamp(),
            "bytes": manifest.plain, "rows": drilled.rows, "tables": drilled.tables, "smoke_tests": self.smoked,
            "asserted": [{"id": one.id, "holds": one.holds, "value": one.value} for one in drilled.asserted],
        }  # fmt: skip

    def _proof(self, now: datetime, run: str) -> Proof:
        drilled = self.drilled
        return Proof(
            at=now, good=not drilled.problems, kind="drill", problems=tuple(drilled.problems),
            phases=tuple(drilled.phases), tables=drilled.tables, rows=drilled.rows, run=run,
        )  # fmt: skip
