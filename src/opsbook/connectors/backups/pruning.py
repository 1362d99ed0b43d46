"""What a prune removes from the stores of a backup, and how: the manifest first, so that no half backup is ever listed.

Which backups go is chosen by the recovery room, above this one; it hands its choice down. What it chose when a prune
was planned is asked again just before each deletion: a drill may have taken a hold, or a newer backup been found
damaged, meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from opsbook.book.recovery import Backup
from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.connectors.backups.attempts import remove
from opsbook.connectors.backups.catalogue import Listing, StoredBackup, backup_store, listing
from opsbook.connectors.backups.manifest import MANIFEST
from opsbook.connectors.objectstore.contract import ObjectStore
from opsbook.errors import OpsbookError

FIRST, SECOND = "first", "second"
"""The store that backups are taken to, and the one that they are copied to."""


@dataclass(frozen=True)
class Chosen:
    """A stored backup, and why it stays or goes."""

    stored: StoredBackup
    kept: bool
    why: str


Chooser = Callable[[System, Backup, Sequence[StoredBackup], datetime], Sequence[Chosen]]
"""What becomes of the backups of one store, the newest first."""
_choosers: list[Chooser] = []


@dataclass(frozen=True)
class Pruning:
    """What a prune does to one store."""

    place: str
    """`first` or `second`."""
    address: str
    chosen: tuple[Chosen, ...]
    """Newest first."""
    listing: Listing

    @property
    def going(self) -> tuple[Chosen, ...]:
        """Those that go, oldest first."""
        return tuple(one for one in reversed(self.chosen) if not one.kept)


def chosen_by(chooser: Chooser) -> None:
    """From now on this one chooses. Called once, by the recovery room."""
    _choosers[:] = [chooser]


def prunings(system: System, backup: Backup, now: datetime, known: str = "") -> list[Pruning]:
    """The choice for each store of a backup, the first store first. Blocking. Raises what a store raises."""
    if not _choosers:
        raise OpsbookError("nothing here can choose which backups are kept")
    with _store(system, backup, FIRST) as store:
        held = listing(store, backup.id, known)
        found = [Pruning(FIRST, store.address, tuple(_choosers[0](system, backup, held.backups, now)), held)]
    if backup.copy_to is not None:
        with _store(system, backup, SECOND) as store:
            copies = listing(store, backup.id, known)
            chosen = _copies(_choosers[0], system, backup, found[0], copies, now)
            found.append(Pruning(SECOND, store.address, chosen, copies))
    return found


def _copies(
    choose: Chooser, system: System, backup: Backup, first: Pruning, copies: Listing, now: datetime
) -> tuple[Chosen, ...]:
    """The choice for the second store. Proofs and holds lie in the first, and count for the copies too; and what the
    first one keeps is not removed, or it would be copied there again each time.
    """
    originals = {one.stored.folder: one for one in first.chosen}
    told = [
        replace(one, proofs=original.stored.proofs, holds=original.stored.holds)
        if (original := originals.get(one.folder)) else one
        for one in copies.backups
    ]  # fmt: skip
    return tuple(
        Chosen(one.stored, True, original.why)
        if not one.kept and (original := originals.get(one.stored.folder)) and original.kept
        else one
        for one in choose(system, backup, told, now)
    )


def delete(system: System, backup: Backup, place: str, stamp: str, now: datetime, known: str = "") -> str:
    """Remove one backup from a store; why it stays after all, or nothing. Blocking. Raises what a store raises.

    What an earlier attempt has left of it is removed too: without its manifest it is no backup any more.
    """
    folder = f"{backup.id}/{stamp}"
    with _store(system, backup, place) as store:
        if any(one.key == f"{folder}/{MANIFEST}" for one in store.list(folder)):
            pruning = next(one for one in prunings(system, backup, now, known) if one.place == place)
            found = [one for one in pruning.chosen if one.stored.manifest.stamp == stamp]
            if not found:
                return "its manifest cannot be read"
            if found[0].kept:
                return found[0].why
        remove(store, folder)
    return ""


@contextmanager
def _store(system: System, backup: Backup, place: str) -> Iterator[ObjectStore]:
    to: Reference | None = backup.copy_to if place == SECOND else None
    store = backup_store(system, backup, to)
    try:
        yield store
    finally:
        store.close()
