"""Drills: proving that a backup restores, and measuring how long that takes and how old its data is."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Name
from opsbook.connectors.change import Change
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
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
