"""Which backups a store holds: its manifests, with their proofs and holds. There is no other list of them.

A store is opened at `<to>/<system>`: see `backup_store`. A folder without a manifest is an attempt, and no backup.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from opsbook.book.recovery import Backup
from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.connectors.backups.manifest import FORMAT, MANIFEST, SIGNATURE, Hold, Manifest, Proof
from opsbook.connectors.backups.signing import Signature, judged
from opsbook.connectors.objectstore.addresses import open_store
from opsbook.connectors.objectstore.contract import ObjectFailed, ObjectMissing, ObjectStore, Stored
from opsbook.connectors.objectstore.keys import safe
from opsbook.errors import OpsbookError, UsageError

AT_ONCE = 8
"""Manifests that are fetched at the same time."""
ATTEMPT = "attempt.json"
"""Reserves the folder of an attempt; see `attempts`."""

M = TypeVar("M", bound=BaseModel)


class Damaged(OpsbookError):
    """A backup, or a part of it, is not what was stored."""

    exit_code = 1


@dataclass(frozen=True)
class StoredBackup:
    """One backup of a store."""

    manifest: Manifest
    signature: Signature
    size: int
    """Bytes of its objects as the store lists them."""
    proofs: tuple[Proof, ...] = ()
    """Newest last."""
    holds: tuple[Hold, ...] = ()
    absent: tuple[str, ...] = ()
    """Parts of the manifest that the store does not list, or lists with another size."""

    @property
    def folder(self) -> str:
        return self.manifest.folder

    @property
    def whole(self) -> bool:
        """Whether it can be believed without reading it: signed rightly, and every part there in its size."""
        return self.signature in (Signature.GOOD, Signature.OTHER_KEY) and not self.absent

    def verified(self) -> Proof | None:
        """The newest proof, where it was good."""
        return self.proofs[-1] if self.proofs and self.proofs[-1].good else None

    def held(self, now: datetime) -> tuple[Hold, ...]:
        """The holds that keep it from being pruned now."""
        return tuple(hold for hold in self.holds if hold.until is None or hold.until > now)


@dataclass(frozen=True)
class Unreadable:
    """A folder with a manifest that cannot be used, and why."""

    backup: str
    stamp: str
    reason: str

    @property
    def folder(self) -> str:
        return f"{self.backup}/{self.stamp}"


@dataclass(frozen=True)
class Listing:
    """What a store holds, oldest first."""

    backups: tuple[StoredBackup, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    attempts: tuple[str, ...] = ()
    """Folders without a manifest: an attempt that lives, or died."""

    def of(self, backup: str) -> tuple[StoredBackup, ...]:
        """Those of one backup of the book, oldest first."""
        return tuple(one for one in self.backups if one.manifest.backup == backup)


def backup_store(system: System, backup: Backup, to: Reference | None = None) -> ObjectStore:
    """Where the backups of this id lie. `to` is another place that it is copied to. Raises UsageError."""
    place = to or backup.to
    if place is None:
        raise UsageError(f"backup {backup.id} has no place to be written to", f"set `to` of {backup.id} in book.yaml")
    return open_store(system, place, safe(system.model.system))


def backup_named(system: System, name: str) -> Backup:
    """A backup of the book in this environment. Raises UsageError with the nearest name."""
    from opsbook.book.words import nearest

    here = {one.id: one for one in system.model.backups if system.holds(one.environments)}
    if name not in here:
        raise UsageError(f"the book has no backup {name!r} in {system.name}", nearest(name, here))
    return here[name]


def listing(store: ObjectStore, backup: str = "", known: str = "") -> Listing:
    """The backups of a store, or those of one id. `known` is the public key that should have signed them."""
    folders: dict[str, list[Stored]] = {}
    for one in store.list(backup):
        parts = one.key.split("/")
        if len(parts) >= 3:
            folders.setdefault("/".join(parts[:2]), []).append(one)
    visible = {folder: found for folder, found in folders.items() if _has(found, folder, MANIFEST)}
    with ThreadPoolExecutor(AT_ONCE, "opsbook-manifests") as pool:
        read = list(pool.map(lambda item: _read(store, item[0], item[1], known), sorted(visible.items())))
    good = sorted((one for one in read if isinstance(one, StoredBackup)), key=lambda one: one.manifest.data_time)
    bad = tuple(one for one in read if isinstance(one, Unreadable))
    return Listing(tuple(good), bad, tuple(sorted(set(folders) - set(visible))))


def found(store: ObjectStore, backup: str, stamp: str = "", known: str = "") -> StoredBackup:
    """One backup by its stamp or the beginning of it; the newest whole one where none is given.

    Raises UsageError where there is none or several, Damaged where its manifest cannot be used.
    """
    held = listing(store, backup, known)
    broken = [one for one in held.unreadable if stamp and one.stamp.startswith(stamp)]
    if broken:
        raise Damaged(f"{broken[0].folder}: {broken[0].reason}", "take another backup: `opsbook backups list`")
    fitting = [one for one in held.backups if one.manifest.stamp.startswith(stamp)]
    if exact := [one for one in fitting if one.manifest.stamp == stamp]:
        return exact[0]
    if not stamp:
        fitting = [one for one in fitting if one.whole][-1:]
    if not fitting:
        which = f"{backup}/{stamp}" if stamp else f"backup of {backup}"
        raise UsageError(f"there is no {which} in {store.address}", "`opsbook backups list` shows what there is")
    if len(fitting) > 1:
        raise UsageError(f"{stamp!r} begins {len(fitting)} backups of {backup}", "write more of the stamp")
    return fitting[0]


def manifest_from(data: bytes) -> Manifest:
    """A manifest as it was stored. Raises Damaged with what is wrong with it."""
    try:
        told = json.loads(data)
        form = told["format"] if isinstance(told, dict) and "format" in told else None
        if isinstance(form, int) and form > FORMAT:
            raise Damaged(
                f"its manifest has the format {form}, newer than the {FORMAT} that this opsbook reads",
                "use the opsbook that wrote it, or a newer one",
            )
        return Manifest.model_validate_json(data)
    except (ValidationError, ValueError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        where = ".".join(map(str, first["loc"])) + ": " + first["msg"] if first else "it is no JSON"
        raise Damaged(f"its manifest is damaged: {where}", "take another backup: `opsbook backups list`") from None


def _read(store: ObjectStore, folder: str, objects: Iterable[Stored], known: str) -> StoredBackup | Unreadable:
    backup, _, stamp = folder.partition("/")
    sizes = {one.key.removeprefix(f"{folder}/"): one.size for one in objects}
    try:
        data = store.get(f"{folder}/{MANIFEST}")
        manifest = manifest_from(data)
        if manifest.folder != folder:
            raise Damaged(f"its manifest is that of {manifest.folder}", "put it back where it was")
        signature = store.get(f"{folder}/{SIGNATURE}") if SIGNATURE in sizes else None
        proofs = sorted(_told(store, folder, sizes, "proof-", Proof), key=lambda one: one.at)
        holds = tuple(_told(store, folder, sizes, "hold-", Hold))
    except (Damaged, ObjectFailed) as error:
        return Unreadable(backup, stamp, error.message)
    absent = tuple(part.key for part in manifest.parts if sizes.get(part.key) != part.stored)
    return StoredBackup(manifest, judged(data, signature, known), sum(sizes.values()), tuple(proofs), holds, absent)


def _told(store: ObjectStore, folder: str, names: Iterable[str], prefix: str, kind: type[M]) -> Iterator[M]:
    """The small notes beside a backup; one that is damaged or was just removed says nothing."""
    for name in names:
        if name.startswith(prefix) and name.endswith(".json"):
            try:
                yield kind.model_validate_json(store.get(f"{folder}/{name}"))
            except (ValidationError, ObjectMissing):
                continue


def _has(objects: Iterable[Stored], folder: str, name: str) -> bool:
    return any(one.key == f"{folder}/{name}" for one in objects)
