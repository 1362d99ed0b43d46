"""Which incidents a time is about, however many came after it."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, func, select

from opsbook.store.incidents import Incident
from opsbook.store.watch_tables import incidents


def during(connection: Connection, where: Mapping[str, str], begin: float, end: float, limit: int) -> list[Incident]:
    """Those that went on at some moment of a time, newest first."""
    here = (incidents.c.system == where["system"]) & (incidents.c.environment == where["environment"])
    within = (incidents.c.opened_at < end) & (func.coalesce(incidents.c.resolved_at, end) >= begin)
    query = select(incidents).where(here, within).order_by(incidents.c.opened_at.desc(), incidents.c.id.desc())
    return [Incident(**row._mapping) for row in connection.execute(query.limit(limit))]
