"""What log files of a folder tell."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import Field

from opsbook.book.catalogue import Cost
from opsbook.book.units import Dimension
from opsbook.book.values import Size
from opsbook.connectors.contract import Fact
from opsbook.connectors.files import FilesConnector
from opsbook.observations.registry import observation
from opsbook.observations.workload_logs import ErrorParameters, errors


class LogParameters(ErrorParameters):
    """Which lines of which files."""

    pattern: str = Field("*.log", description="log files of the folder, with * and ?")
    most: Size = Field(16e6, description="how much of each file is read at most, from its end")


@observation(
    "logs.errors",
    Dimension.COUNT,
    of="files",
    parameters=LogParameters,
    cost=Cost.MODERATE,
    warning="> 0",
    doc="Lines of a folder's logs that tell an error, within a time. The detail has them by type: exception, 5xx"
    " status, or level.",
)
async def log_errors(files: FilesConnector, said: LogParameters) -> Fact:
    now = datetime.now(UTC)
    return errors(await files.lines(said.pattern, now - said.within, now, int(said.most)), said.type)
