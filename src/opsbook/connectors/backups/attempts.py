"""An attempt at a backup: its folder reserved, its manifest published last, its remains removed.

`attempt.json` reserves the folder of a stamp and says until when the attempt may live. Nobody lists the folder as a
backup before `manifest.json` is in it; the signature is written before, so that no manifest is ever without.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from opsbook.connectors.backups.catalogue import ATTEMPT
from opsbook.connectors.backups.manifest import MANIFEST, SIGNATURE, STAMP, Manifest
from opsbook.connectors.backups.signing import Signer, signature_of
from opsbook.connectors.objectstore.contract import ObjectFailed, ObjectMissing, ObjectStore, Stored
from opsbook.connectors.objectstore.folder import FolderStore
from opsbook.connectors.objectstore.keys import safe

SWEPT_AFTER = timedelta(days=1)
"""An attempt without a manifest whose newest object is older, and whose time has passed, is dead."""
MOST_OF_A_SECOND = 100


@dataclass(frozen=True)
class Attempt:
    """The reserved folder of one attempt."""

    store: ObjectStore
    backup: str
    stamp: str
    id: str

    @property
    def folder(self) -> str:
        return f"{self.backup}/{self.stamp}"

    def key(self, name: str) -> str:
        """A part's key below the backup's folder."""
        return f"objects/{self.id}/{name}"

    def publish(self, manifest: Manifest, signer: Signer) -> None:
        """Make the backup visible. Raises ObjectFailed where there is one already."""
        publish(self.store, self.folder, encoded(manifest), signature_of(encoded(manifest), signer))

    def discard(self) -> None:
        """Remove all of it; what cannot be removed now is swept later."""
        remove(self.store, self.folder)


def encoded(manifest: Manifest) -> bytes:
    """The bytes of a manifest that are signed and stored."""
    return manifest.model_dump_json(indent=1).encode() + b"\n"


def publish(store: ObjectStore, folder: str, manifest: bytes, signature: bytes) -> None:
    """Write the signature, then the manifest, each only where there is none."""
    store.put(f"{folder}/{SIGNATURE}", signature, only_new=True)
    store.put(f"{folder}/{MANIFEST}", manifest, only_new=True)


def attempt_id(key: str) -> str:
    """The engine's key of a change as part of a key of the store."""
    return safe(key)


def reserve(store: ObjectStore, backup: str, key: str, now: datetime, lasts: timedelta) -> Attempt:
    """A folder for an attempt that begins now and may last so long. Raises what the store raises."""
    stamp = now.strftime(STAMP)
    told = {"attempt": attempt_id(key), "started": now.isoformat(), "until": (now + lasts).isoformat()}
    for n in range(1, MOST_OF_A_SECOND):
        attempt = Attempt(store, backup, stamp if n == 1 else f"{stamp}-{n}", attempt_id(key))
        try:
            store.put(f"{attempt.folder}/{ATTEMPT}", json.dumps(told).encode(), only_new=True)
        except ObjectFailed:
            if not any(True for _ in store.list(attempt.folder)):
                raise
            continue
        return attempt
    raise ObjectFailed(f"{MOST_OF_A_SECOND} backups of {backup} began in this second", "wait a second")


def published(store: ObjectStore, backup: str, key: str) -> str | None:
    """The stamp of the backup that an attempt with this key has published, newest first; None where there is none."""
    wanted = attempt_id(key)
    folders = _folders(store, backup)
    for folder, objects in sorted(folders.items(), reverse=True):
        names = {one.key.removeprefix(f"{folder}/") for one in objects}
        if MANIFEST in names and any(name.startswith(f"objects/{wanted}/") for name in names):
            return folder.partition("/")[2]
    return None


def remove(store: ObjectStore, folder: str) -> None:
    """Delete every object of a folder, the manifest first: from then on it is no backup."""
    keys = [one.key for one in store.list(folder)]
    for key in sorted(keys, key=lambda key: (key != f"{folder}/{MANIFEST}", key.endswith(ATTEMPT), key)):
        store.delete(key)


def sweep(store: ObjectStore, backup: str, now: datetime, key: str = "") -> list[str]:
    """Remove dead attempts at one backup, and say which. Earlier ones with the same key are certainly dead."""
    if isinstance(store, FolderStore):
        store.sweep()
    dead = list(_dead(store, backup, now, attempt_id(key) if key else ""))
    for folder in dead:
        remove(store, folder)
    return dead


def _dead(store: ObjectStore, backup: str, now: datetime, own: str) -> Iterator[str]:
    for folder, objects in _folders(store, backup).items():
        if any(one.key == f"{folder}/{MANIFEST}" for one in objects):
            continue
        if own and _attempt(store, folder).get("attempt") == own:
            yield folder
            continue
        newest = max(one.modified for one in objects)
        if now - newest > SWEPT_AFTER and now > _until(store, folder) + SWEPT_AFTER:
            yield folder


def _until(store: ObjectStore, folder: str) -> datetime:
    """When the attempt had to have ended."""
    try:
        return datetime.fromisoformat(_attempt(store, folder)["until"])
    except (ValueError, KeyError):
        return datetime(2000, 1, 1, tzinfo=UTC)


def _attempt(store: ObjectStore, folder: str) -> dict[str, str]:
    """What an attempt said of itself."""
    try:
        told = json.loads(store.get(f"{folder}/{ATTEMPT}"))
    except (ObjectMissing, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _folders(store: ObjectStore, backup: str) -> dict[str, list[Stored]]:
    folders: dict[str, list[Stored]] = {}
    for one in store.list(backup):
        parts = one.key.split("/")
        if len(parts) >= 3:
            folders.setdefault("/".join(parts[:2]), []).append(one)
    return folders
