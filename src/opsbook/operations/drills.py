"""Drills: proving that a backup restores, and measuring how long that takes and how old its data is."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Name
from opsbook.connectors.change import Change
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.pgbackrest import At, planned_point
from opsbook.operations.registry import operation
from opsbook.operations.stored_backups import assertions_for, meant


class DrillRestore(OperationParameters):
    backup: Name = Field(description="the backup of the book that is drilled")
    stamp: str = Field("", description="which one: its stamp or the beginning of it; the newest where left out")
    assertions: tuple[Name, ...] = Field((), description="which must hold afterwards; all of the component where empty")
    jobs: int = Field(0, ge=0, description="how many tables and indexes at once; as the book says where left out")


@operation(
    "drill.restore",
    Risk.SAFE,
    of=("postgres", "files", "redis"),
    idempotent=True,
    parameters=DrillRestore,
    doc="Restores a backup into a server of its own, files into a folder, which is removed afterwards; holds it "
    "against what was backed up, asks the book's assertions, and measures: time until restored, verified and serving, "
    "age of the data, rows that a loss now would cost. A proof is laid beside the backup, also of damage.",
)
class _DrillRestore(Repeatable):
    async def plan(self, parameters: DrillRestore, facts: Facts) -> AsyncIterator[Change]:
        found = await meant(facts, parameters.of, parameters.backup, parameters.stamp, damaged=True)
        effect = {
            "component": parameters.of, "backup": parameters.backup, "stamp": found.manifest.stamp,
            "manifest": found.digest, "jobs": parameters.jobs or found.jobs,
            "assertions": [one.id for one in assertions_for(facts, parameters.of, parameters.assertions)],
        }  # fmt: skip
        yield Change("drill-restore", effect, found.evidence, inverse="nothing to undo: it removes what it makes")


class DrillAt(At):
    assertions: tuple[Name, ...] = Field((), description="which must hold afterwards; all of the component where empty")


@operation(
    "drill.restore_at",
    Risk.SAFE,
    of="postgres",
    idempotent=True,
    parameters=DrillAt,
    doc="Recovers the database from the archived log into a server of its own, up to the last record that is archived "
    "or to a point, and removes it afterwards. Every row is read, every index and heap looked at, the book's "
    "assertions asked. Measured is the time until copied, replayed, verified and serving, and the age of what would be "
    "lost now: the server is not told to archive what it has not yet.",
)
class _DrillRestoreAt(Repeatable):
    async def plan(self, parameters: DrillAt, facts: Facts) -> AsyncIterator[Change]:
        if not (parameters.at or parameters.lsn or parameters.point or parameters.xid):
            parameters = parameters.model_copy(update={"at": "latest"})
        effect, evidence, live = await planned_point(parameters, facts)
        wanted = [one.id for one in assertions_for(facts, parameters.of, parameters.assertions)]
        names = ("component", "backup", "label", "kind", "target", "jobs")
        told = {**{name: effect[name] for name in names}, "database": live, "assertions": wanted}
        yield Change("drill-at", told, evidence, inverse="nothing to undo: it removes what it makes")


class Rebuild(DrillRestore):
    drill: Name = Field(description="the drill of the book, of the kind `rebuild`")
    stop: tuple[Name, ...] = Field(
        (), description="components whose workloads stop while it is restored, in this order"
    )
    files: tuple[Name, ...] = Field((), description="backups of files that are restored too")


@operation(
    "drill.rebuild",
    Risk.SAFE,
    of="postgres",
    idempotent=True,
    parameters=Rebuild,
    doc="Makes a fresh system in a disposable environment by the commands of the book, restores a backup into it, "
    "starts it in order, asks the book's assertions and smoke tests, measures each phase, and removes it, also where "
    "it fails.",
)
class _DrillRebuild(Repeatable):
    async def plan(self, parameters: Rebuild, facts: Facts) -> AsyncIterator[Change]:
        model = facts.system.model
        drill = next((one for one in model.drills if one.id == parameters.drill and one.kind == "rebuild"), None)
        if drill is None or drill.environment is None:
            raise Refused(f"the book has no drill {parameters.drill} that rebuilds", "write one under `drills`")
        if not model.environments[drill.environment].disposable or drill.environment == facts.system.name:
            raise Refused(
                f"{drill.environment} is not an environment that a drill may make and remove",
                "name another one than this, with `disposable: true`",
            )
        found = await meant(facts, parameters.of, parameters.backup, parameters.stamp)
        effect = {
            "drill": drill.id, "environment": drill.environment, "component": parameters.of,
            "backup": parameters.backup, "stamp": found.manifest.stamp, "manifest": found.digest,
            "jobs": parameters.jobs or found.jobs, "stop": list(parameters.stop), "files": list(parameters.files),
            "make": list(drill.make), "remove": list(drill.remove),
            "assertions": [one.id for one in assertions_for(facts, parameters.of, parameters.assertions)],
            "smoke_tests": [one.id for one in model.smoke_tests],
        }  # fmt: skip
        yield Change("drill-rebuild", effect, found.evidence, inverse="nothing to undo: it removes what it makes")
