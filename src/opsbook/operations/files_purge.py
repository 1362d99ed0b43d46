"""Old files of a folder deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Duration
from opsbook.connectors.change import Change
from opsbook.operations.contract import Facts, Repeatable
from opsbook.operations.files_by_age import ByAge, folder_of, old_in
from opsbook.operations.registry import operation


class Purge(ByAge):
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
        found = await old_in(folder_of(parameters, facts, "90d"), parameters, facts)
        yield Change("files-purge", found.asked, found.told, inverse="deleted files are gone; take a backup first")
