"""Backups of the book: taken, verified where they lie, held back from pruning."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.recovery import Backup
from opsbook.book.values import Duration, Name
from opsbook.connectors.backups.attempts import published
from opsbook.connectors.backups.catalogue import StoredBackup, backup_named, backup_store, found
from opsbook.connectors.change import Change
from opsbook.connectors.objectstore.keys import safe
from opsbook.errors import Refused
from opsbook.operations import pgbackrest
from opsbook.operations.contract import Facts, OperationParameters, Repeatable, Verdict
from opsbook.operations.registry import operation

TAKEN = ("dump", "schema", "tables", "globals", "files", "rdb", "store")
"""Methods that opsbook takes itself."""
STAYS = "nothing to undo: a backup that was taken stays; prune removes it in its time"


class OfBackup(OperationParameters):
    backup: Name = Field(description="the backup's id in the book")


class OfOneBackup(OfBackup):
    stamp: str = Field("", description="which one: its stamp, or the beginning of it; the newest where left out")


class Take(OfBackup):
    replica: bool = Field(False, description="read the component's replica instead of its primary")
    checksums: bool = Field(True, description="sum up the rows of each table, so that a restore can be held against it")


def _backup(facts: Facts, said: OfBackup) -> Backup:
    """The backup of the book. Raises UsageError, and Refused where it is of another component."""
    backup = backup_named(facts.system, said.backup)
    if backup.of != said.of:
        raise Refused(f"backup {backup.id} is of {backup.of}, not of {said.of}", f"write `of: {backup.of}`")
    return backup


@operation(
    "backup.take",
    Risk.SAFE,
    of="any",
    idempotent=True,
    parameters=Take,
    doc="Takes a backup of the book into its store: streamed, compressed, encrypted where the book says so, read back "
    "and checked, visible at once and whole. Where the book names a second store, it is copied there. A backup by "
    "pgBackRest is taken by pgBackRest: full where that is due, else as the book says.",
)
class _Take:
    async def plan(self, parameters: Take, facts: Facts) -> AsyncIterator[Change]:
        backup = _backup(facts, parameters)
        if backup.method == "pgbackrest":
            yield await pgbackrest.take(facts, backup)
            return
        if backup.method not in TAKEN:
            raise Refused(
                f"a backup by {backup.method} is not taken by backup.take", "opsbook takes " + ", ".join(TAKEN)
            )
        if backup.to is None:
            raise Refused(f"backup {backup.id} has no place to be written to", f"set `to` of {backup.id}")
        effect = {
            "act": "take",
            "backup": backup.id,
            "component": backup.of,
            "method": backup.method,
            "to": str(backup.to),
            "compress": backup.compress,
            "encrypt": str(backup.encrypt or ""),
            "jobs": backup.jobs,
            "replica": parameters.replica,
            "checksums": parameters.checksums,
        }
        effect |= {name: list(said) for name in ("tables", "paths", "exclude") if (said := getattr(backup, name))}
        yield Change("backup", effect, inverse=STAYS)
        if backup.copy_to is not None:
            copy = {"act": "copy", "backup": backup.id, "from": str(backup.to), "to": str(backup.copy_to)}
            yield Change("backup", copy, inverse="what was copied stays")

    async def verify(self, key: str, change: Change, facts: Facts) -> Verdict:
        """A manifest with the attempt's own id is the proof."""
        if change.kind == "pgbackrest":
            return await pgbackrest.was_taken(facts, key, change)
        if change.effect["act"] == "copy":
            return "not_done"  # what is there already is left out when it is done again
        backup = backup_named(facts.system, change.effect["backup"])

        def look() -> str | None:
            store = backup_store(facts.system, backup)
            try:
                return published(store, backup.id, key)
            finally:
                store.close()

        return "done" if await asyncio.to_thread(look) else "not_done"


async def _stored(facts: Facts, said: OfOneBackup) -> StoredBackup:
    backup = _backup(facts, said)

    def look() -> StoredBackup:
        store = backup_store(facts.system, backup)
        try:
            return found(store, backup.id, said.stamp)
        finally:
            store.close()

    one = await asyncio.to_thread(look)
    facts.record(f"{backup.id}: stamp", one.manifest.stamp)
    return one


@operation(
    "backup.verify",
    Risk.SAFE,
    of="any",
    idempotent=True,
    parameters=OfOneBackup,
    doc="Reads every stored byte of a backup and holds it against the signed manifest; where `decrypt` of the backup "
    "has a value here, through to the content. The verdict is stored beside the backup. Fails where it is damaged. Of "
    "pgBackRest the whole repository is read, with the archived log.",
)
class _Verify(Repeatable):
    async def plan(self, parameters: OfOneBackup, facts: Facts) -> AsyncIterator[Change]:
        backup = _backup(facts, parameters)
        if backup.method == "pgbackrest":
            yield await pgbackrest.verifying(facts, backup)
            return
        one = await _stored(facts, parameters)
        effect = {"act": "verify", "backup": parameters.backup, "stamp": one.manifest.stamp}
        evidence = {"parts": len(one.manifest.parts), "bytes": one.manifest.stored}
        yield Change("backup-note", effect, evidence, inverse="a verdict stays")


class HoldParameters(OfOneBackup):
    name: Name = Field("manual", description="the hold's own name; a backup may have several")
    reason: str = Field(min_length=1, description="why it must stay")
    lasts: Duration | None = Field(None, description="how long; for ever where left out")


@operation(
    "backup.hold",
    Risk.SAFE,
    of="any",
    idempotent=True,
    parameters=HoldParameters,
    doc="Keeps a stored backup from being pruned, until a time or until it is released. Undo releases it.",
)
class _Hold(Repeatable):
    async def plan(self, parameters: HoldParameters, facts: Facts) -> AsyncIterator[Change]:
        one = await _stored(facts, parameters)
        effect = {
            "act": "hold",
            "backup": parameters.backup,
            "stamp": one.manifest.stamp,
            "name": safe(parameters.name),
            "reason": parameters.reason,
            "lasts": (parameters.lasts or timedelta()).total_seconds(),
        }
        inverse = {key: effect[key] for key in ("backup", "stamp", "name")} | {"act": "release"}
        yield Change("backup-note", effect, inverse=Change("backup-note", inverse))


class ReleaseParameters(OfOneBackup):
    name: Name = Field("manual", description="the hold's own name")


@operation(
    "backup.release",
    Risk.SAFE,
    of="any",
    idempotent=True,
    parameters=ReleaseParameters,
    doc="Lets go of a hold, so that the backup may be pruned in its time.",
)
class _Release(Repeatable):
    async def plan(self, parameters: ReleaseParameters, facts: Facts) -> AsyncIterator[Change]:
        one = await _stored(facts, parameters)
        if safe(parameters.name) not in [hold.name for hold in one.holds]:
            held = ", ".join(hold.name for hold in one.holds) or "none"
            raise Refused(f"{one.folder} has no hold named {parameters.name} (it has: {held})", "name one that it has")
        effect = {
            "act": "release",
            "backup": parameters.backup,
            "stamp": one.manifest.stamp,
            "name": safe(parameters.name),
        }
        yield Change("backup-note", effect, inverse="hold it again")
