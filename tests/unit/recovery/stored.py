"""Small signed backups in folder stores, taken at times that a test chooses."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.connectors.backups.attempts import reserve
from opsbook.connectors.backups.catalogue import backup_named, backup_store, listing
from opsbook.connectors.backups.manifest import Hold, Manifest, Part, Proof
from opsbook.connectors.backups.pipeline import Codec, FileSource, Pace, write_object
from opsbook.connectors.backups.second_store import copy_missing
from opsbook.connectors.objectstore.contract import ObjectStore
from opsbook.store.audit_head import HeadFile


@dataclass
class Shelf:
    """A book with backups, and the stores that they lie in."""

    folder: Path
    system: System
    taken: list[Manifest] = field(default_factory=list)

    @property
    def head(self) -> HeadFile:
        return HeadFile(self.folder / "key", self.folder / "head")

    def store(self, backup: str = "nightly", *, second: bool = False) -> ObjectStore:
        named = backup_named(self.system, backup)
        return backup_store(self.system, named, named.copy_to if second else None)

    def copy(self, backup: str = "nightly") -> None:
        """Bring what lacks to the second store."""
        copy_missing(self.store(backup), self.store(backup, second=True), backup, Pace(), lambda _: None)

    def take(self, at: datetime, backup: str = "nightly", *, copy: bool = True, **told: Any) -> Manifest:
        """A backup of this moment, encrypted and copied as the book says."""
        named, store = backup_named(self.system, backup), self.store(backup)
        recipient = self.system.resolve(named.encrypt) if named.encrypt else ""
        attempt = reserve(store, backup, f"run/take/{len(self.taken)}", at, timedelta(hours=1))
        name = attempt.key("archive")
        source = FileSource(io.BytesIO(b"patient 1, patient 2\n" * 20))
        part = write_object(store, f"{attempt.folder}/{name}", source, Codec("zstd", recipients=recipient))
        manifest = Manifest(**{
            "system": "test", "environment": "test", "backup": backup, "component": named.of, "method": named.method,
            "stamp": attempt.stamp, "attempt": attempt.id, "started": at, "finished": at, "data_time": at,
            "tool": "tar", "opsbook": "1", "compression": "zstd", "encryption": "age" if recipient else "none",
            "recipient": recipient,
            "parts": (Part(key=name, role="archive", stored=part.stored, sha256=part.sha256, plain=part.plain,
                           plain_sha256=part.plain_sha256),),
            **told,
        })  # fmt: skip
        attempt.publish(manifest, self.head)
        if named.copy_to is not None and copy:
            self.copy(backup)
        self.taken.append(manifest)
        return manifest

    def prove(self, one: Manifest, *, good: bool = True) -> None:
        """Lay the verdict of a drill beside a backup."""
        proof = Proof(at=one.data_time + timedelta(hours=1), good=good, kind="drill")
        self.store(one.backup).put(f"{one.folder}/proof-1.json", proof.model_dump_json().encode())

    def hold(self, one: Manifest, until: datetime | None = None) -> None:
        """Keep a backup from being pruned."""
        hold = Hold(name="audit", by="anna", reason="the audit of 2025", at=one.data_time, until=until)
        self.store(one.backup).put(f"{one.folder}/hold-audit.json", hold.model_dump_json().encode())

    def stamps(self, backup: str = "nightly", *, second: bool = False) -> list[str]:
        """What is listed, oldest first."""
        held = listing(self.store(backup, second=second), backup, self.head.public)
        assert all(one.whole for one in held.backups)
        return [one.manifest.stamp for one in held.backups]


def shelf(folder: Path, *backups: dict[str, Any], **keys: Any) -> Shelf:
    """A book with these backups of a folder, each written to a folder of its own name."""
    written = [
        {"of": "files", "method": "files", "paths": ["."], "to": str(folder / one["id"]), **one} for one in backups
    ]
    book = {
        "opsbook": 1, "system": "test", "environments": {"test": {"policy": "open"}},
        "components": {"files": {"kind": "files", "path": str(folder)}}, "backups": written, **keys,
    }  # fmt: skip
    path = folder / "book.yaml"
    path.write_text(yaml.safe_dump(book))
    return Shelf(folder, in_environment(load_book(path, catalogue())))
