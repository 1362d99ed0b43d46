"""Who of several processes does something that one must do: a row that its holder renews before it runs out.

The time is the store's own on PostgreSQL, so that hosts whose clocks differ agree.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from opsbook.store.watch_tables import leases


@dataclass(frozen=True)
class Lease:
    """As it stands. `fence` counts the holders: a higher one came later."""

    name: str
    holder: str
    until: float
    fence: int


def store_time(connection: Connection, otherwise: float) -> float:
    """UTC seconds by the store's clock, where it has one of its own."""
    if connection.dialect.name != "postgresql":
        return otherwise
    return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())


def take(connection: Connection, name: str, holder: str, now: float, seconds: float) -> bool:
    """Take or renew it for so long; False where another holds it."""
    now = store_time(connection, now)
    free = (leases.c.holder == holder) | (leases.c.until <= now)
    row = connection.execute(select(leases).where(leases.c.name == name).with_for_update()).mappings().first()
    if row is None:
        try:
            with connection.begin_nested():
                connection.execute(insert(leases).values(name=name, holder=holder, until=now + seconds, fence=1))
        except IntegrityError:
            return False
        return True
    fence = row["fence"] + (row["holder"] != holder)
    changed = update(leases).where((leases.c.name == name) & free)
    return connection.execute(changed.values(holder=holder, until=now + seconds, fence=fence)).rowcount > 0


def held(connection: Connection, name: str, now: float) -> Lease | None:
    """Who holds it now."""
    row = connection.execute(select(leases).where(leases.c.name == name)).mappings().first()
    if row is None or row["until"] <= store_time(connection, now):
        return None
    return Lease(**row)


def give_back(connection: Connection, name: str, holder: str) -> None:
    """Let another take it at once."""
    connection.execute(delete(leases).where((leases.c.name == name) & (leases.c.holder == holder)))
