"""What changed shortly before an incident: runs, deploys among them, and maintenance windows. Suspects, no culprits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, or_, select

from opsbook.book.system import System
from opsbook.store.incidents import Event, Incident
from opsbook.store.tables import runs
from opsbook.store.watch_tables import occurrences
from opsbook.watch.brought import with_versions

BEFORE = timedelta(hours=1)
MOST = 10


def suspects(connection: Connection, system: System, one: Incident, now: datetime) -> list[Event]:
    """A line of the timeline for what changed in the hour before; none where nothing did."""
    found = list(changed(connection, system, now))
    if not found:
        return []
    text = "changed in the hour before: " + "; ".join(found[:MOST])
    text += f"; and {len(found) - MOST} more" if len(found) > MOST else ""
    return [Event(one.id, now.timestamp(), "opsbook", "suspects", text, key=f"suspects|{one.id}|{one.rounds}")]


def changed(connection: Connection, system: System, now: datetime) -> Iterator[str]:
    """What changed in the hour before a moment, newest first, a few words each."""
    since = (now - BEFORE).timestamp()
    query = (
        select(
            runs.c.id,
            runs.c.procedure,
            runs.c.risk,
            runs.c.state,
            runs.c.requester,
            runs.c.started_at,
            runs.c.parameters,
        )
        .where(
            runs.c.system == system.model.system,
            runs.c.environment == system.name,
            runs.c.risk != "read",
            runs.c.started_at <= now.timestamp(),
            or_(runs.c.started_at >= since, runs.c.ended_at >= since),
        )
        .order_by(runs.c.started_at.desc())
        .limit(MOST * 5)
    )
    zone = ZoneInfo(system.model.timezone)
    for row in connection.execute(query):
        at = datetime.fromtimestamp(row.started_at, UTC).astimezone(zone)
        what = with_versions(row.procedure, row.parameters)
        yield f"{at:%H:%M} run {row.id} {what} ({row.state}, by {row.requester})"
    came = select(occurrences.c.window, occurrences.c.state, occurrences.c.opened_at).where(
        occurrences.c.system == system.model.system,
        occurrences.c.environment == system.name,
        occurrences.c.opened_at <= now.timestamp(),
        or_(occurrences.c.closed_at.is_(None), occurrences.c.closed_at >= since),
    )
    for window in connection.execute(came).mappings():
        at = datetime.fromtimestamp(window["opened_at"], UTC).astimezone(zone)
        yield f"{at:%H:%M} window {window['window']} ({window['state']})"
