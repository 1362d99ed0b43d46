"""Backups that no generation keeps, removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from opsbook.book.catalogue import Risk
from opsbook.connectors.backups.catalogue import backup_named
from opsbook.connectors.backups.pruning import prunings
from opsbook.connectors.change import Change
from opsbook.errors import Refused
from opsbook.operations.backups import TAKEN, OfBackup
from opsbook.operations.contract import Facts, Repeatable
from opsbook.operations.registry import operation

FOR_EVER = "a backup that was deleted cannot be brought back"


@operation(
    "backup.prune",
    Risk.DESTRUCTIVE,
    of="any",
    idempotent=True,
    parameters=OfBackup,
    doc="Deletes the stored backups that `keep` of the book keeps no longer, in both stores, the manifest of each "
    "first, and what dead attempts have left. What is held stays, and so do the newest good one, the newest proven one "
    "and those of other environments. Each deletion is judged again when it is made.",
)
class _Prune(Repeatable):
    async def plan(self, parameters: OfBackup, facts: Facts) -> AsyncIterator[Change]:
        backup = backup_named(facts.system, parameters.backup)
        if backup.of != parameters.of:
            raise Refused(f"backup {backup.id} is of {backup.of}, not of {parameters.of}", f"write `of: {backup.of}`")
        if backup.method not in TAKEN:
            raise Refused(f"a backup by {backup.method} is pruned by its own tool", "set how many are kept there")
        for one in await asyncio.to_thread(prunings, facts.system, backup, facts.clock.now()):
            facts.record(f"{backup.id}: kept in the {one.place} store", len(one.chosen) - len(one.going))
            effect = {"backup": backup.id, "place": one.place}
            for going in one.going:
                manifest = going.stored.manifest
                evidence = {
                    "why": going.why,
                    "data of": manifest.data_time.isoformat(timespec="seconds"),
                    "bytes": manifest.stored,
                }
                act = {"act": "delete", **effect, "stamp": manifest.stamp, "stays": one.stays}
                yield Change("backup-prune", act, evidence, inverse=FOR_EVER)
            yield Change("backup-prune", {"act": "sweep", **effect}, inverse="nobody misses what dead attempts left")
