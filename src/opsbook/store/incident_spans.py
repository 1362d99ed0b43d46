"""Which incidents a time is about, however many came after it."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, func, select

from opsbook.store.incidents import OVER, Incident
from opsbook.store.watch_tables import incident_events, incidents


def during(connection: Connection, where: Mapping[str, str], begin: float, end: float) -> list[Incident]:
    """All that went on at some moment of a time, newest first."""
    here = (incidents.c.system == where["system"]) & (incidents.c.environment == where["environment"])
    within = (incidents.c.opened_at < end) & (func.coalesce(incidents.c.resolved_at, end) >= begin)
    query = select(incidents).where(here, within).order_by(incidents.c.opened_at.desc(), incidents.c.id.desc())
    return [Incident(**row._mapping) for row in connection.execute(query)]


def told_of(connection: Connection, where: Mapping[str, str], kind: str, since: float) -> list[Incident]:
    """All with a line of a kind in their timeline that go on, or began since a moment; newest first."""
    here = (incidents.c.system == where["system"]) & (incidents.c.environment == where["environment"])
    lately = (incidents.c.opened_at >= since) | incidents.c.state.not_in(OVER)
    line = select(incident_events.c.incident).where(incident_events.c.kind == kind)
    has = line.where(incident_events.c.incident == incidents.c.id).exists()
    query = select(incidents).where(here, lately, has).order_by(incidents.c.opened_at.desc(), incidents.c.id.desc())
    return [Incident(**row._mapping) for row in connection.execute(query)]
