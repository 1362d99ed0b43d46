"""Restoring files and snapshots of Redis to a place of their own: what is used is never written over."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Name
from opsbook.connectors.change import Change
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation
from opsbook.operations.stored_backups import meant


class RestoreTo(OperationParameters):
    backup: Name = Field(description="the backup of the book that is restored")
    stamp: str = Field("", description="which one: its stamp or the beginning of it; the newest where left out")
    to: str = Field(min_length=1, description="where to; a relative path starts at the book's folder")


class _Restore(Repeatable):
    methods: tuple[str, ...]
    told: str

    async def plan(self, parameters: RestoreTo, facts: Facts) -> AsyncIterator[Change]:
        found = await meant(facts, parameters.of, parameters.backup, parameters.stamp)
        if found.manifest.method not in self.methods:
            raise Refused(f"{found.manifest.folder} is a backup by {found.manifest.method}", f"name one of {self.told}")
        effect = {
            "component": parameters.of, "backup": parameters.backup, "stamp": found.manifest.stamp,
            "manifest": found.digest, "to": str(facts.system.path(parameters.to)),
        }  # fmt: skip
        yield Change(
            "restore-files", effect, found.evidence, inverse="what was used is untouched; delete what was made"
        )


@operation(
    "files.restore",
    Risk.SAFE,
    of="files",
    idempotent=True,
    parameters=RestoreTo,
    doc="Unpacks a backup of files into a new folder and holds every file against its SHA-256. The folder gets its "
    "name only when all of it is there and as it was; what is used is never written over.",
)
class _Files(_Restore):
    methods, told = ("files",), "files"


@operation(
    "redis.restore",
    Risk.SAFE,
    of="redis",
    idempotent=True,
    parameters=RestoreTo,
    doc="Writes a backup of Redis as an RDB file, which a server of our own has loaded and counted. To use it, stop "
    "the server, put the file in its folder under the name of `dbfilename`, and start it.",
)
class _Redis(_Restore):
    methods, told = ("rdb",), "Redis"
