"""How old, how large and how well proven the backups of a component are: read from where they lie."""

from __future__ import annotations

import asyncio
import statistics
from datetime import UTC, datetime

from pydantic import Field

from opsbook.book.catalogue import Cost, Parameters
from opsbook.book.recovery import Backup
from opsbook.book.units import Dimension
from opsbook.book.values import Name
from opsbook.connectors.backups.catalogue import Listing, StoredBackup, backup_named, backup_store, listing
from opsbook.connectors.contract import Connector, Fact, ReadFailed
from opsbook.observations.registry import Absent, observation

BEFORE = 10
"""Earlier backups whose median size is the usual one."""


class BackupParameters(Parameters):
    """Which backup."""

    backup: Name | None = Field(None, description="id of the backup; needed where the component has several")


async def _listed(connector: Connector, said: BackupParameters) -> tuple[Backup, Listing]:
    """The backup that is meant, and what its store holds; asked once for all facts of it."""
    system = connector.system
    if said.backup is not None:
        one = backup_named(system, said.backup)
        if one.of != connector.name:
            raise ReadFailed(f"backup {one.id} is of {one.of}, not of {connector.name}", f"write `of: {one.of}`")
    else:
        here = [each for each in system.model.backups if each.of == connector.name and system.holds(each.environments)]
        here = [each for each in here if each.method != "pgbackrest"] or here
        if len(here) != 1:
            names = ", ".join(each.id for each in here) or "none"
            raise ReadFailed(f"{connector.name} has {len(here)} backups ({names})", "say which: `with: {backup: …}`")
        one = here[0]

    def look() -> Listing:
        store = backup_store(system, one)
        try:
            return listing(store, one.id)
        finally:
            store.close()

    return one, await connector.once(("backups", one.id), lambda: asyncio.to_thread(look))


def _good(found: tuple[Backup, Listing], environment: str) -> list[StoredBackup]:
    """Those of this environment that are whole and were not found damaged, oldest first. Raises Absent."""
    backup, held = found
    good = [
        one
        for one in held.backups
        if one.whole and one.manifest.environment == environment and not (one.proofs and not one.proofs[-1].good)
    ]
    if not good:
        raise Absent(f"there is no good backup {backup.id}")
    return good


def _age(moment: datetime) -> float:
    return max(0.0, (datetime.now(UTC) - moment).total_seconds())


@observation("backup.age", Dimension.DURATION, of="any", parameters=BackupParameters, cost=Cost.MODERATE, follows=False,
             doc="Age of the data in the newest backup that is whole and was not found damaged.")  # fmt: skip
async def age(connector: Connector, said: BackupParameters) -> Fact:
    good = _good(await _listed(connector, said), connector.system.name)
    newest = good[-1].manifest
    detail = {"stamp": newest.stamp, "data_time": newest.data_time.isoformat(), "backups": len(good)}
    return Fact(_age(newest.data_time), detail, f"{newest.backup} {newest.stamp}")


@observation("backup.verified_age", Dimension.DURATION, of="any", parameters=BackupParameters, cost=Cost.MODERATE,
             follows=False, doc="Time since a backup was last read or restored and found good.")  # fmt: skip
async def verified_age(connector: Connector, said: BackupParameters) -> Fact:
    found = await _listed(connector, said)
    proofs = [(proof, one) for one in found[1].backups for proof in one.proofs if proof.good]
    if not proofs:
        raise Absent(f"no backup {found[0].id} was ever verified")
    proof, one = max(proofs, key=lambda each: each[0].at)
    detail = {"stamp": one.manifest.stamp, "kind": proof.kind, "at": proof.at.isoformat()}
    return Fact(_age(proof.at), detail, f"{one.manifest.stamp}: {proof.kind}")


@observation("backup.size", Dimension.SIZE, of="any", parameters=BackupParameters, cost=Cost.MODERATE, follows=False,
             doc="Bytes that the newest good backup takes where it lies.")  # fmt: skip
async def size(connector: Connector, said: BackupParameters) -> Fact:
    newest = _good(await _listed(connector, said), connector.system.name)[-1].manifest
    return Fact(float(newest.stored), {"stamp": newest.stamp, "plain": newest.plain, "parts": len(newest.parts)})


@observation("backup.size_change", Dimension.RATIO, of="any", parameters=BackupParameters, cost=Cost.MODERATE,
             follows=False, doc="How far the newest good backup is from the usual size, the median of those before: "
             "0.2 is a fifth more or less. A sudden change means that something is missing, or too much.")  # fmt: skip
async def size_change(connector: Connector, said: BackupParameters) -> Fact:
    good = _good(await _listed(connector, said), connector.system.name)
    before = [one.manifest.plain for one in good[-1 - BEFORE : -1]]
    if not before:
        raise Absent(f"there is no backup {good[-1].manifest.backup} before the newest")
    usual, now = statistics.median(before), good[-1].manifest.plain
    change = abs(now - usual) / usual if usual else float(now > 0)
    return Fact(change, {"newest": now, "usual": usual, "of": len(before)}, "more" if now > usual else "less")
