"""Old files of a folder moved into a store."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from fnmatch import fnmatch
from pathlib import Path

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.references import Reference
from opsbook.book.values import Duration, Name
from opsbook.connectors.change import Change
from opsbook.connectors.executors.files_purge import old_files
from opsbook.connectors.files import FilesConnector
from opsbook.connectors.objectstore.addresses import open_store
from opsbook.connectors.objectstore.folder import FolderStore
from opsbook.connectors.objectstore.keys import safe
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation

ANY = re.compile(r"[*?]|\[[^]]+\]")
ARCHIVED = ".20260101T000000Z-0123456789ab.zst"
"""What is added to the name of a file, as the executor names it."""


class Archive(OperationParameters):
    pattern: str = Field("*", min_length=1, description="which files, by name or by path within the folder")
    older_than: Duration = Field(description="files whose content is older are moved")
    rule: Name = Field(description="the rule of `retention` whose `archive_to` is the store: its id, or its component")
    most: int = Field(10_000, gt=0, description="the most files that may be moved; with more none is")


@operation(
    "files.archive", Risk.DISRUPTIVE, of="files", idempotent=True, parameters=Archive,
    doc="Moves files of a folder into a store by age: compressed, with their SHA-256, and read back from there before"
    " the original goes. A file that somebody writes to stays.",
)  # fmt: skip
class _Archive(Repeatable):
    async def plan(self, parameters: Archive, facts: Facts) -> AsyncIterator[Change]:
        if parameters.older_than.total_seconds() <= 0:
            raise Refused("`older_than` is no age: every file would go", "give an age such as 7d")
        connector = facts.connector(parameters.of)
        if not isinstance(connector, FilesConnector) or not connector.path.is_dir():
            raise Refused(f"{parameters.of} is no folder", "name a files component that is one")
        rules = [one for one in facts.system.model.retention if (one.id or one.of) == parameters.rule and one.path]
        to = rules[0].archive_to if rules else None
        if to is None:
            raise Refused(f"the book has no rule {parameters.rule} of files with a store", "set its `archive_to`")
        address = await asyncio.to_thread(_address, facts, to, connector.path, parameters.pattern)
        before = facts.clock.now().timestamp() - parameters.older_than.total_seconds()
        found = await asyncio.to_thread(lambda: list(old_files(connector.path, parameters.pattern, before)))
        if len(found) > parameters.most:
            raise Refused(
                f"{len(found):,} files are that old, more than the {parameters.most:,} allowed", "raise `most`"
            )
        effect = {
            "component": parameters.of, "folder": str(connector.path), "pattern": parameters.pattern,
            "seconds": parameters.older_than.total_seconds(), "most": parameters.most, "to": to.text,
        }  # fmt: skip
        evidence = {"files": len(found), "bytes": sum(size for _, size in found), "store": address}
        yield Change("files-archive", effect, evidence,
                     inverse="the files lie in the store: unpack them with `zstd -d` where they were")  # fmt: skip


def _address(facts: Facts, to: Reference, folder: Path, pattern: str) -> str:
    """The store as the book wrote it; it can be opened. Raises Refused, UsageError, MissingSecret."""
    system = facts.system
    store = open_store(system, to, safe(system.model.system))
    store.close()
    if (
        isinstance(store, FolderStore)
        and store.root.resolve().is_relative_to(folder.resolve())
        and fnmatch(ANY.sub("x", pattern) + ARCHIVED, pattern)
    ):
        raise Refused(
            f"the store {store.address} lies in {folder} itself: what is archived would be archived again",
            "name a store elsewhere, or a pattern that no archive has",
        )
    return store.address
