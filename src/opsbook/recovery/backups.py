"""The backups of a book as procedures, and how old the newest is that may be relied on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from opsbook.book.recovery import Backup
from opsbook.book.system import System
from opsbook.book.units import write_duration
from opsbook.connectors.backups.catalogue import Listing, StoredBackup, backup_store, listing
from opsbook.errors import OpsbookError
from opsbook.operations.backups import TAKEN
from opsbook.recovery.pruning import rules
from opsbook.recovery.templates import filled

SPARE = timedelta(minutes=5)
"""What a step gets beyond the backup's own time-out, so that it is the backup that says why it ended."""
HOW: dict[str, str] = {
    "dump": "Copies all of the database under one snapshot, table by table in parallel.",
    "schema": "Dumps the structure of the database, without its rows.",
    "tables": "Copies the chosen tables under one snapshot.",
    "globals": "Dumps the roles of the server and what they may do.",
    "files": "Packs the files into an archive, with a checksum of each.",
    "rdb": "Fetches a snapshot of the whole server, as a replica would.",
    "store": "Copies opsbook's own store as it is at one moment.",
}


def taken(system: System) -> list[Backup]:
    """The backups that opsbook takes itself in this environment."""
    return [one for one in system.model.backups if one.method in TAKEN and one.to and system.holds(one.environments)]


def families(system: System) -> Iterator[tuple[str, str]]:
    """Name and Markdown of the procedures of each backup."""
    for one in taken(system):
        names = {"backup": one.id, "component": one.of}
        timeout = write_duration((one.timeout + SPARE).total_seconds()).replace(" ", "")
        yield f"backup-{one.id}", filled("backup", **names, how=HOW[one.method], timeout=timeout)
        yield f"backup-{one.id}-verify", filled("backup-verify", **names, timeout=timeout)
        yield f"backup-{one.id}-hold", filled("backup-hold", **names)
        yield f"backup-{one.id}-release", filled("backup-release", **names)
        yield f"prune-{one.id}", filled("prune", **names, rules=rules(one.keep))


def held(system: System, backups: Iterable[Backup], known: str = "") -> dict[str, Listing]:
    """What the store of each backup holds, by its id. Blocking. Raises what a store raises."""
    found = {}
    for one in backups:
        store = backup_store(system, one)
        try:
            found[one.id] = listing(store, one.id, known)
        finally:
            store.close()
    return found


def newest_relied_on(system: System, known: str = "") -> dict[str, StoredBackup]:
    """Component → its newest backup of this environment that is whole and was not found damaged. Blocking.

    A store that cannot be reached has none: what is not seen is not relied on.
    """
    newest: dict[str, StoredBackup] = {}
    for backup in taken(system):
        if backup.method in ("schema", "globals", "tables"):
            continue  # not all of the component
        try:
            found = held(system, [backup], known)[backup.id]
        except OpsbookError:
            continue
        for one in found.backups:
            before = newest.get(backup.of)
            if relied_on(one, system.name) and (before is None or _data_time(one) > _data_time(before)):
                newest[backup.of] = one
    return newest


def relied_on(one: StoredBackup, environment: str) -> bool:
    """Whether a backup counts: of this environment, whole, and no verification found it damaged."""
    return one.whole and one.manifest.environment == environment and not (one.proofs and not one.proofs[-1].good)


def backup_ages(system: System, now: datetime, known: str = "") -> Mapping[str, timedelta]:
    """Component → age of the newest backup that may be relied on: a fact of policy. Blocking."""
    return {component: now - _data_time(one) for component, one in newest_relied_on(system, known).items()}


def _data_time(one: StoredBackup) -> datetime:
    return one.manifest.data_time
