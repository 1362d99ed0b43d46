"""Old files of a folder deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Duration
from opsbook.connectors.change import Change
from opsbook.connectors.executors.files_purge import old_files
from opsbook.connectors.files import FilesConnector
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation


class Purge(OperationParameters):
    pattern: str = Field("*", min_length=1, description="which files, by name or by path within the folder")
    older_than: Duration = Field(description="files whose content is older go")
    most: int = Field(10_000, gt=0, description="the most files that may go; with more none goes")


@operation(
    "files.purge",
    Risk.DESTRUCTIVE,
    of="files",
    idempotent=True,
    parameters=Purge,
    doc="Deletes files of a folder by age, also in folders below. Folders and links stay. They are gone for good.",
)
class _Purge(Repeatable):
    async def plan(self, parameters: Purge, facts: Facts) -> AsyncIterator[Change]:
        if parameters.older_than.total_seconds() <= 0:
            raise Refused("`older_than` is no age: every file would go", "give an age such as 90d")
        connector = facts.connector(parameters.of)
        if not isinstance(connector, FilesConnector) or not connector.path.is_dir():
            raise Refused(f"{parameters.of} is no folder", "name a files component that is one")
        before = facts.clock.now().timestamp() - parameters.older_than.total_seconds()
        found = await asyncio.to_thread(lambda: list(old_files(connector.path, parameters.pattern, before)))
        if len(found) > parameters.most:
            raise Refused(
                f"{len(found):,} files are that old, more than the {parameters.most:,} allowed", "raise `most`"
            )
        effect = {
            "folder": str(connector.path), "pattern": parameters.pattern,
            "seconds": parameters.older_than.total_seconds(), "most": parameters.most,
        }  # fmt: skip
        evidence = {"files": len(found), "bytes": sum(size for _, size in found)}
        yield Change("files-purge", effect, evidence, inverse="deleted files are gone; take a backup first")
