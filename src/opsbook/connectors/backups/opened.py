"""One stored backup of the book, opened to be restored or proven: its manifest, its parts, and where its proofs go."""

from __future__ import annotations

import getpass
import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from opsbook.book.recovery import Backup
from opsbook.book.system import System
from opsbook.connectors.backups.attempts import encoded
from opsbook.connectors.backups.catalogue import StoredBackup, backup_named, backup_store, found
from opsbook.connectors.backups.manifest import Hold, Manifest, Part, Proof
from opsbook.connectors.backups.reading import Sink, check_part, read_part
from opsbook.connectors.backups.signing import Signature
from opsbook.connectors.objectstore.contract import ObjectStore
from opsbook.connectors.objectstore.folder import FolderStore
from opsbook.connectors.objectstore.keys import safe
from opsbook.errors import OpsbookError

RESTORE_LASTS = timedelta(days=2)
"""The longest that a restore may take, with its attempts: where it was killed, its backup is held so long."""
PROOF_TIME = "%Y%m%dT%H%M%S%fZ"


@dataclass(frozen=True)
class OpenedBackup:
    """A backup whose parts can be read."""

    backup: Backup
    store: ObjectStore
    stored: StoredBackup
    identities: str = ""

    @property
    def manifest(self) -> Manifest:
        return self.stored.manifest

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest: what a plan is bound to."""
        return digest_of(self.manifest)

    @property
    def folder(self) -> Path | None:
        """Where it lies, if that is a folder of this host."""
        return Path(self.store.address) if isinstance(self.store, FolderStore) else None

    def faults(self) -> list[str]:
        """What is wrong with it before anything was read."""
        told = [f"{key}: it is missing, or has another size" for key in self.stored.absent]
        if self.stored.signature in (Signature.WRONG, Signature.MISSING):
            told.append(f"manifest.json is {self.stored.signature.value}")
        return told

    def remarks(self) -> list[str]:
        """What a person should know of it, and what loses nothing."""
        other = self.stored.signature is Signature.OTHER_KEY
        return [f"manifest.json is {self.stored.signature.value} than this opsbook's"] if other else []

    def read(self, part: Part, sink: Sink) -> None:
        """Hand the plain bytes of a part to the sink; nothing may be believed before this returns. Raises Damaged."""
        read_part(self.store, self.manifest, part, sink, self.identities)

    def check(self, part: Part) -> str:
        """What is wrong with the stored bytes of a part; empty where nothing is."""
        try:
            check_part(self.store, self.manifest, part)
        except OpsbookError as error:
            return error.message
        return ""

    def prove(self, proof: Proof) -> None:
        """Lay a proof beside the backup. Raises ObjectFailed."""
        name = f"{self.manifest.folder}/proof-{proof.at.strftime(PROOF_TIME)}.json"
        self.store.put(name, proof.model_dump_json(indent=1).encode() + b"\n", only_new=True)

    @contextmanager
    def held(self, name: str, reason: str, now: datetime, lasts: timedelta) -> Iterator[None]:
        """Keep it from being pruned while it is read; where the process dies, until the time has passed."""
        hold = Hold(name=safe(name), by=getpass.getuser(), reason=reason, at=now, until=now + lasts)
        key = f"{self.manifest.folder}/hold-{hold.name}.json"
        self.store.put(key, hold.model_dump_json(indent=1).encode() + b"\n")
        try:
            yield
        finally:
            with suppress(OpsbookError):  # it ends by its time
                self.store.delete(key)

    @contextmanager
    def held_if_possible(self, key: str, tell: Callable[[str], None]) -> Iterator[None]:
        """As `held`, for a restore under this key. A store that may only be read from is no reason not to restore."""
        now = datetime.now(UTC)
        with ExitStack() as kept:
            try:
                kept.enter_context(self.held(f"restore-{safe(key)}", "a restore reads it", now, RESTORE_LASTS))
            except OpsbookError as error:
                tell(f"it cannot be held, so that a prune may take it meanwhile: {error.message}\n")
            yield


def digest_of(manifest: Manifest) -> str:
    """SHA-256 of a manifest as it is stored."""
    return hashlib.sha256(encoded(manifest)).hexdigest()


@contextmanager
def opened_backup(system: System, backup: str, stamp: str = "", known: str = "") -> Iterator[OpenedBackup]:
    """A backup of the book by its id and stamp; the newest whole one without. Blocking.

    Raises UsageError, Damaged, StoreUnavailable, MissingSecret.
    """
    named = backup_named(system, backup)
    store = backup_store(system, named)
    try:
        identities = system.resolve(named.decrypt) if named.decrypt else ""
        yield OpenedBackup(named, store, found(store, backup, stamp, known), identities)
    finally:
        store.close()
