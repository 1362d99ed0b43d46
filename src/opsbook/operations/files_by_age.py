"""What changes of old files share: which folder, from which age on, and how many at most."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from opsbook.book.values import Duration
from opsbook.connectors.change import Json
from opsbook.connectors.executors.files_purge import old_files
from opsbook.connectors.files import FilesConnector
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters


class ByAge(OperationParameters):
    pattern: str = Field("*", min_length=1, description="which files, by name or by path within the folder")
    older_than: Duration
    most: int


def folder_of(parameters: ByAge, facts: Facts, such_as: str) -> Path:
    """The folder that is looked into. Raises Refused where there is none, or the age would take every file."""
    if parameters.older_than.total_seconds() <= 0:
        raise Refused("`older_than` is no age: every file would go", f"give an age such as {such_as}")
    connector = facts.connector(parameters.of)
    if not isinstance(connector, FilesConnector) or not connector.path.is_dir():
        raise Refused(f"{parameters.of} is no folder", "name a files component that is one")
    return connector.path


@dataclass(frozen=True)
class Found:
    """The old files of a folder at this moment. `asked` is by what an executor finds them again."""

    asked: dict[str, Json]
    told: dict[str, Json]


async def old_in(folder: Path, parameters: ByAge, facts: Facts) -> Found:
    """Raises Refused where there are more than allowed."""
    seconds = parameters.older_than.total_seconds()
    before = facts.clock.now().timestamp() - seconds
    found = await asyncio.to_thread(lambda: list(old_files(folder, parameters.pattern, before)))
    if len(found) > parameters.most:
        raise Refused(f"{len(found):,} files are that old, more than the {parameters.most:,} allowed", "raise `most`")
    asked = {"folder": str(folder), "pattern": parameters.pattern, "seconds": seconds, "most": parameters.most}
    return Found(asked, {"files": len(found), "bytes": sum(size for _, size in found)})
