"""What a workload is at this moment, preserved as evidence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Duration
from opsbook.connectors.change import Change
from opsbook.connectors.workload import workload_name
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation


class Preserved(OperationParameters):
    folder: str = Field(".opsbook/evidence", min_length=1, description="where it is written, from the book's folder")
    since: Duration = Field(timedelta(days=1), description="how far back logs are kept")
    lines: int = Field(100_000, gt=0, le=1_000_000, description="the most lines of them")


@operation(
    "workload.preserve", Risk.READ, of="workload", idempotent=True, parameters=Preserved,
    doc="Writes the processes, connections, open files, status, logs and events of a workload, and the sessions of a"
    " database, into one archive with the SHA-256 of each file. Of variables the names alone. Logs may hold secrets:"
    " the archive is its owner's to read.",
)  # fmt: skip
class _Preserve(Repeatable):
    async def plan(self, parameters: Preserved, facts: Facts) -> AsyncIterator[Change]:
        effect = {
            "component": parameters.of, "workload": await workload_name(facts.connector(parameters.of)),
            "folder": parameters.folder, "since": parameters.since.total_seconds(), "lines": parameters.lines,
        }  # fmt: skip
        yield Change("snapshot", effect, inverse="nothing to undo: it only looks")
