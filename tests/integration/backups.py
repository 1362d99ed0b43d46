"""Backups of a book for tests: taken, listed and read as a run does, without a run around them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsbook.book.system import System
from opsbook.clock import SystemClock
from opsbook.connectors.backups.catalogue import Listing, StoredBackup, backup_named, backup_store, found, listing
from opsbook.connectors.backups.reading import StoredContents
from opsbook.connectors.change import Change, Done
from opsbook.connectors.registry import open_connections, registered
from opsbook.engine.facts import RecordedFacts
from opsbook.operations.registry import operations
from opsbook.store.audit_head import HeadFile
from tests.integration.executing import RUN, Output
from tests.integration.servers import make_system


@dataclass
class Desk:
    """A book with backups, and the key that signs them."""

    folder: Path
    system: System
    store: str = ""

    @property
    def head(self) -> HeadFile:
        return HeadFile(self.folder / "store.key", self.folder / "store.head")

    async def changes(self, operation: str, backup: str, **parameters: Any) -> list[Change]:
        """What an operation on a backup would do."""
        one = operations()[operation]
        of = backup_named(self.system, backup).of
        said = one.spec.parameters(of=of, backup=backup, **parameters)
        async with open_connections(self.system, self.head, self.store) as connections:
            facts = RecordedFacts(self.system, SystemClock(), connections)
            return [change async for change in one.plan(said, facts)]

    async def do(self, operation: str, backup: str, key: str = f"{RUN}/take/0", **parameters: Any) -> dict[str, Any]:
        """Plan it and apply it; the result of its first change. What it said is in `output`."""
        results: list[dict[str, Any]] = []
        self.output = Output()
        for change in await self.changes(operation, backup, **parameters):
            async with open_connections(self.system, self.head, self.store) as connections:
                executor = registered().executors[change.kind](connections)
                done = await executor.apply(key, change, None, self.output)
                assert isinstance(done, Done)
                results.append(dict(done.result))
        return results[0]

    async def take(self, backup: str, key: str = f"{RUN}/take/0", **parameters: Any) -> dict[str, Any]:
        return await self.do("backup.take", backup, key, **parameters)

    def objects(self, backup: str) -> Any:
        """The store of a backup."""
        return backup_store(self.system, backup_named(self.system, backup))

    def listed(self, backup: str) -> Listing:
        return listing(self.objects(backup), backup, self.head.public)

    def newest(self, backup: str) -> StoredBackup:
        return found(self.objects(backup), backup, "", self.head.public)

    def content(self, backup: str, role: str = "", table: str = "", identities: str = "") -> bytes:
        """The plain bytes of the parts of the newest backup that fit, in order."""
        manifest = self.newest(backup).manifest
        contents = StoredContents(self.objects(backup), manifest, identities)
        parts = [one for one in manifest.parts if role in ("", one.role) and table in ("", one.table)]
        return b"".join(b"".join(contents.pieces(one)) for one in sorted(parts, key=lambda one: one.order))

    def tree(self) -> dict[str, str]:
        """Every file below the folder of backups and its digest."""
        root = self.folder / "to"
        files = (path for path in sorted(root.rglob("*")) if path.is_file())
        return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def desk(
    folder: Path, components: dict[str, Any], backups: list[dict[str, Any]], *, store: str = "", **keys: Any
) -> Desk:
    """A desk whose backups go to the folder `to` where they do not say otherwise."""
    written = [{"to": str(folder / "to"), "retry": 0, **one} for one in backups]
    return Desk(folder, make_system(folder, components, backups=written, **keys), store)
