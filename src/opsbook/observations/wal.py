"""How far a server's log is archived, which is what a recovery to a point in time can reach."""

from __future__ import annotations

from opsbook.book.units import Dimension
from opsbook.connectors.backups.archiving import STATE, Archived, archived
from opsbook.connectors.contract import Fact
from opsbook.connectors.postgres import PostgresConnector
from opsbook.observations.registry import Absent, observation


async def _state(connector: PostgresConnector) -> Archived:
    """Asked once for all facts of it. Raises Absent where nothing is archived."""

    async def look() -> Archived:
        (row,) = await connector.primary.read(STATE)
        return archived(row)

    found = await connector.once("wal", look)
    if not found.on:
        raise Absent("the server archives nothing (archive_mode or archive_command): a loss goes back to the last dump")
    return found


@observation("wal.archive_lag", Dimension.DURATION, of="postgres", warning="> 10m",
             critical="> 1h", doc="Seconds for which the archived log is behind: what was committed longer ago can be "
             "recovered to. 0 while all that was written is archived.")  # fmt: skip
async def archive_lag(connector: PostgresConnector) -> Fact:
    found = await _state(connector)
    archiver = found.archiver
    if found.lag is None:
        raise Absent("no segment of the log was archived yet")
    detail = {
        "last": archiver.last_wal, "archived_at": archiver.last.isoformat() if archiver.last else None,
        "waiting": found.waiting, "failed": archiver.failures,
        "failing": archiver.failed_wal if archiver.failing else None,
    }  # fmt: skip
    told = f"{archiver.failed_wal} cannot be archived" if archiver.failing else f"{archiver.last_wal} was the last"
    return Fact(found.lag, detail, told)


@observation("wal.archive_failures", Dimension.COUNT, of="postgres", doc="Segments of the log that "
             "wait because archiving fails now; 0 while it works. How often it failed is in the detail.")  # fmt: skip
async def archive_failures(connector: PostgresConnector) -> Fact:
    found = await _state(connector)
    archiver = found.archiver
    detail = {"ever": archiver.failures, "at": archiver.failed.isoformat() if archiver.failed else None}
    return Fact(
        float(found.waiting if archiver.failing else 0), detail, archiver.failed_wal if archiver.failing else ""
    )
