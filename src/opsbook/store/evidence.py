"""What was gathered for incidents, as rows. Everything works in the transaction that is handed in."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from opsbook.store.watch_tables import evidence


@dataclass(frozen=True)
class Evidence:
    """One thing that was gathered, or why it could not be."""

    incident: str
    name: str
    at: float
    text: str
    sha256: str
    error: str = ""


def keep(connection: Connection, one: Evidence) -> None:
    """Store evidence, in place of what was gathered before under this name."""
    same = (evidence.c.incident == one.incident) & (evidence.c.name == one.name)
    if not connection.execute(update(evidence).where(same).values(vars(one))).rowcount:
        connection.execute(insert(evidence).values(vars(one)))


def of_incident(connection: Connection, incident: str) -> list[Evidence]:
    """What was gathered."""
    query = select(evidence).where(evidence.c.incident == incident).order_by(evidence.c.name)
    return [Evidence(**row._mapping) for row in connection.execute(query)]
