"""How far the log of a server is archived, and having it archived up to now. Blocking."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from opsbook.connectors.backups.postgres_restore import Interrupted, Target

if TYPE_CHECKING:
    import psycopg

LOOK_SECONDS = 0.1
ARCHIVE_SECONDS = 60.0
"""One segment is pushed within a second; a store that is far away takes longer."""
SEGMENT = 24
"""Characters of a segment's name; a history or a backup label is longer or shorter."""
ARCHIVER = """
SELECT last_archived_time, coalesce(last_archived_wal, ''), last_failed_time, coalesce(last_failed_wal, ''),
       archived_count, failed_count, current_setting('archive_mode'), pg_is_in_recovery()
FROM pg_stat_archiver
"""
MARK = ("SELECT pg_current_wal_insert_lsn()", "BEGIN", "SELECT txid_current()", "COMMIT")
"""A transaction that commits: recovery to a time stops at the first one after it, and there must be one."""


@dataclass(frozen=True)
class Archiver:
    """What the archiver of a server says of itself."""

    last: datetime | None
    """When it archived a segment last."""
    last_wal: str
    failed: datetime | None
    failed_wal: str
    archived: int
    failures: int
    mode: str
    in_recovery: bool

    @property
    def failing(self) -> bool:
        """Whether the last it tried has failed."""
        return self.failed is not None and (self.last is None or self.failed > self.last)


def archiver_of(server: Target) -> Archiver:
    """Raises ChangeFailed."""
    with server.session() as connection:
        return _archiver(connection)


def _archiver(connection: psycopg.Connection[Any]) -> Archiver:
    row = connection.execute(ARCHIVER).fetchone()
    assert row is not None
    return Archiver(*row)


def archived_until_now(server: Target, stop: threading.Event, seconds: float = ARCHIVE_SECONDS) -> str:
    """Have the server end its segment, and wait until it lies in the archive; why it does not, empty where it does."""
    import psycopg

    with server.session() as connection:
        archiver = _archiver(connection)
        if archiver.in_recovery:
            return "the server is a standby"
        if archiver.mode == "off":
            return "archive_mode is off"
        try:
            for statement in MARK[1:]:
                connection.execute(statement.encode())
            row = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
        except psycopg.Error as error:
            return error.diag.message_primary or str(error)
        assert row is not None
        wanted, deadline = str(row[0]), time.monotonic() + seconds
        while True:
            now = _archiver(connection)
            # A segment's name orders as the log does, also over a change of its timeline.
            if len(now.last_wal) == SEGMENT and now.last_wal >= wanted:
                return ""
            if now.failures > archiver.failures and now.failing:
                return f"archiving {now.failed_wal} fails"
            if time.monotonic() > deadline:
                return f"{wanted} was not archived within {seconds:g} s"
            if stop.wait(LOOK_SECONDS):
                raise Interrupted("the restore was stopped")
