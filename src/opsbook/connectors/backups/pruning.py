"""What a prune removes from the stores of a backup, and how: the manifest first, so that no half backup is ever listed.

Which backups go is chosen by the recovery room, above this one; it hands its choice down. Just before each deletion it
is looked again: a drill may have taken a hold, or the good one that stays been lost, since the prune was planned.
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
from opsbook.connectors.backups.manifest import MANIFEST, Hold
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
    def stays(self) -> str:
        """The stamp of the newest good one that is kept; empty where there is none, and nothing goes."""
        own = {one.stored.manifest.environment for one in self.chosen if not one.kept}
        kept = [one.stored for one in self.chosen if one.kept and one.stored.manifest.environment in own]
        return next((one.manifest.stamp for one in kept if good(one)), "")

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


def delete(system: System, backup: Backup, place: str, stamp: str, stays: str, now: datetime, known: str = "") -> str:
    """Remove one backup from a store; why it stays after all, or nothing. Blocking. Raises what a store raises.

    `stays` is the stamp of the good one that is kept: where that is not there any more, or was found damaged, nothing
    goes. What an earlier attempt has left of this one is removed: without its manifest it is no backup any more.
    """
    folder = f"{backup.id}/{stamp}"
    with _store(system, backup, place) as store:
        if any(one.key == f"{folder}/{MANIFEST}" for one in store.list(folder)):
            found = listing(store, folder, known).backups
            if not found:
                return "its manifest cannot be read"
            holds = [*found[0].held(now), *(_original_holds(system, backup, folder, now) if place == SECOND else ())]
            if holds:
                return f"held: {holds[0].name} ({holds[0].reason})"
            if not any(good(one) for one in listing(store, f"{backup.id}/{stays}", known).backups):
                return f"{backup.id}/{stays}, which was to stay, is not good any more"
        remove(store, folder)
    return ""


def good(one: StoredBackup) -> bool:
    """Whether a backup can be relied on, as far as is known."""
    return one.whole and not (one.proofs and not one.proofs[-1].good)


def _original_holds(system: System, backup: Backup, folder: str, now: datetime) -> list[Hold]:
    """Holds lie beside the original, and keep its copy too."""
    with _store(system, backup, FIRST) as store:
        return [hold for one in listing(store, folder).backups for hold in one.held(now)]


@contextmanager
def _store(system: System, backup: Backup, place: str) -> Iterator[ObjectStore]:
    to: Reference | None = backup.copy_to if place == SECOND else None
    store = backup_store(system, backup, to)
    try:
        yield store
    finally:
        store.close()
