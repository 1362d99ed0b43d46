"""How far the log of a server is archived, and having it archived up to now. Blocking."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from opsbook.connectors.backups.pgbackrest_info import lsn_number
from opsbook.connectors.backups.postgres_restore import Interrupted, Target
from opsbook.connectors.change import ChangeFailed

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
MARK = ("BEGIN", "SELECT txid_current()", "COMMIT")
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
            for statement in MARK:
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


STATE = """
SELECT a.last_archived_time, coalesce(a.last_archived_wal, ''), a.last_failed_time, coalesce(a.last_failed_wal, ''),
       a.archived_count, a.failed_count, current_setting('archive_mode'), pg_is_in_recovery(),
       current_setting('archive_command'), extract(epoch FROM current_setting('archive_timeout')::interval)::float8,
       CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_lsn()::text ELSE '0/0' END,
       (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'),
       (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%%.ready'), clock_timestamp()
FROM pg_stat_archiver AS a
"""
HEADER = 40
"""Bytes at the beginning of a segment that nobody wrote."""
NOTHING = frozenset({"", "(disabled)", "true", "/bin/true", "/usr/bin/true", ":", "cd ."})
"""Commands that throw every segment away."""


@dataclass(frozen=True)
class Archived:
    """How far the log of a server is archived, at a moment of its own clock."""

    archiver: Archiver
    command: str
    timeout: float
    """Seconds after which the server ends a segment that is not full; 0: never."""
    lsn: str
    segment: int
    """Bytes of one."""
    waiting: int
    """Segments that wait to be archived."""
    now: datetime

    @property
    def on(self) -> bool:
        """Whether it archives at all."""
        return self.archiver.mode != "off" and self.command.strip() not in NOTHING

    @property
    def behind(self) -> bool:
        """Whether the log goes on after the last segment that was archived."""
        last = self.archiver.last_wal
        if len(last) != SEGMENT:
            return True
        end = (int(last[8:16], 16) << 32) + (int(last[16:], 16) + 1) * self.segment
        return lsn_number(self.lsn) > end + HEADER

    @property
    def lag(self) -> float | None:
        """Seconds: what was committed longer ago is archived. None where nothing ever was, or it is not on.

        A server with archive_timeout ends each segment in which anything was changed after so long: while none waits
        and none fails, the lag is no longer than that, also when nobody writes.
        """
        if not self.on or self.archiver.last is None:
            return None
        passed = max(0.0, (self.now - self.archiver.last).total_seconds())
        if self.waiting or self.archiver.failing:
            return passed
        if not self.behind:
            return 0.0
        return min(passed, self.timeout) if self.timeout > 0 else passed


def archived(row: Sequence[Any]) -> Archived:
    """Of a row of STATE."""
    return Archived(Archiver(*row[:8]), *row[8:])


def archived_of(server: Target) -> Archived:
    """Raises ChangeFailed."""
    import psycopg

    with server.session() as connection:
        try:
            row = connection.execute(STATE.replace("%%", "%").encode()).fetchone()
        except psycopg.Error as error:
            raise ChangeFailed(error.diag.message_primary or str(error), "grant pg_monitor to the role") from None
    assert row is not None
    return archived(row)
