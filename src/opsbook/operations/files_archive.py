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
from opsbook.connectors.objectstore.addresses import open_store
from opsbook.connectors.objectstore.folder import FolderStore
from opsbook.connectors.objectstore.keys import safe
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, Repeatable
from opsbook.operations.files_by_age import ByAge, folder_of, old_in
from opsbook.operations.registry import operation

ANY = re.compile(r"[*?]|\[[^]]+\]")
ARCHIVED = ".20260101T000000Z-0123456789ab.zst"
"""What is added to the name of a file, as the executor names it."""


class Archive(ByAge):
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
        folder = folder_of(parameters, facts, "7d")
        rules = [one for one in facts.system.model.retention if (one.id or one.of) == parameters.rule and one.path]
        to = rules[0].archive_to if rules else None
        if to is None:
            raise Refused(f"the book has no rule {parameters.rule} of files with a store", "set its `archive_to`")
        address = await asyncio.to_thread(_address, facts, to, folder, parameters.pattern)
        found = await old_in(folder, parameters, facts)
        effect = {"component": parameters.of, **found.asked, "to": to.text}
        yield Change("files-archive", effect, {**found.told, "store": address},
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
