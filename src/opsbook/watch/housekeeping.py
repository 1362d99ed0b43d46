"""The part that forgets what was kept for as long as the book says (`intervals.keep_*`).

It drops a bounded number of rows in each transaction, and so many transactions in a tick, so that pages and results
never wait long for the one that writes. What went with an incident is in the audit chain.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection

from opsbook.book.units import show_duration
from opsbook.engine.access import watch_actor
from opsbook.store import audit
from opsbook.store import incidents as incident_rows
from opsbook.store import retention as store
from opsbook.store.incidents import Event
from opsbook.store.rollups import FIVE_MINUTES, rolled_until
from opsbook.watch.acting import act
from opsbook.watch.contract import Watch
from opsbook.watch.registry import part

EVERY = timedelta(hours=1)
SOON = timedelta(minutes=1)
"""Where more is left than one tick drops."""
ROWS = 2_000
"""Rows that one transaction drops: some ten milliseconds."""
INCIDENTS = 50
"""Incidents that one transaction drops: each has some hundred rows."""
TURNS = 100
"""Transactions of one kind in a tick."""

FORGOTTEN = "incidents forgotten"
EVIDENCE_FORGOTTEN = "evidence forgotten"

Drop = Callable[[Connection], bool]
"""Drops some rows; whether there may be more."""


@part
class Housekeeping:
    """Once an hour, and after a process has begun."""

    name = "housekeeping"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._next: datetime | None = None

    async def tick(self, now: datetime) -> datetime:
        if self._next is not None and now < self._next <= now + EVERY:
            return self._next  # woken before its time
        more = [await self._all(drop) for drop in self._drops(now)]
        self._next = now + (SOON if any(more) else EVERY)
        return self._next

    async def _all(self, drop: Drop) -> bool:
        """Drop until nothing is left, or it was enough for once. Whether more may be left."""
        setting, more = self.watch.setting, [True]

        def write(connection: Connection) -> None:
            more[0] = drop(connection)

        for _ in range(TURNS):
            await setting.in_writer(lambda: setting.write([write]))
            if not more[0]:
                return False
        return True

    def _drops(self, now: datetime) -> list[Drop]:
        keep, where = self.watch.system.model.intervals, self.watch.where
        raw, long_ago, told = (
            (now - one).timestamp() for one in (keep.keep_raw, keep.keep_rollups, keep.keep_messages)
        )
        return [
            lambda connection: self._results(connection, raw),
            lambda connection: store.drop_rollups(connection, where, long_ago),
            lambda connection: self._incidents(connection, now),
            lambda connection: self._evidence(connection, now),
            lambda connection: store.drop_messages(connection, where, told, ROWS) == ROWS,
            lambda connection: store.drop_alerts(connection, where, long_ago, ROWS) == ROWS,
            lambda connection: store.drop_silences(connection, where, long_ago, ROWS) == ROWS,
            lambda connection: store.drop_checklists(connection, where, long_ago, ROWS) == ROWS,
            lambda connection: store.drop_due(connection, where, long_ago) < 0,
            lambda connection: store.drop_windows(connection, where, long_ago) < 0,
            lambda connection: store.drop_beats(connection, where, long_ago) < 0,
        ]

    def _results(self, connection: Connection, before: float) -> bool:
        """Only those that figures were made of: after a long time without a watch they come first."""
        done = rolled_until(connection, self.watch.where, FIVE_MINUTES)
        return store.drop_results(connection, self.watch.where, min(before, done or 0.0), ROWS) == ROWS

    def _incidents(self, connection: Connection, now: datetime) -> bool:
        keep = self.watch.system.model.intervals.keep_incidents
        ids = store.drop_incidents(connection, self.watch.where, (now - keep).timestamp(), INCIDENTS)
        if ids:
            self._record(connection, now, FORGOTTEN, ids, keep)
        return len(ids) == INCIDENTS

    def _evidence(self, connection: Connection, now: datetime) -> bool:
        keep = self.watch.system.model.intervals.keep_evidence
        ids = store.drop_evidence(connection, self.watch.where, (now - keep).timestamp(), INCIDENTS)
        if ids:
            self._record(connection, now, EVIDENCE_FORGOTTEN, ids, keep)
            text = f"what was gathered was kept for {show_duration(keep.total_seconds())}, and is dropped"
            lines = [Event(one, now.timestamp(), "opsbook", "evidence", text) for one in ids]
            incident_rows.tell(connection, lines)
        return len(ids) == INCIDENTS

    def _record(self, connection: Connection, now: datetime, event: str, ids: list[str], keep: timedelta) -> None:
        told = {"incidents": ids, "kept_seconds": keep.total_seconds()}
        audit.append(connection, [act(self.watch.system, watch_actor("retention"), now, event, told)])
