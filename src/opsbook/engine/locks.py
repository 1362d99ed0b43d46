"""Locks on resource paths: `renec/production/database` excludes `renec/production`, and both exclude each other's runs.

All paths of a run are taken in one transaction, or none; who must wait holds a ticket and is served in order of arrival
among those that exclude each other. The ticket's number becomes the fencing token: it grows, and a change may be made
only while the lock still carries the number of the run that makes it. A lock whose run has ended is not held, whatever
the table says, so that there is no stale one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, func, insert, select, text

from opsbook.engine.states import ENDED, PARKED
from opsbook.store.tables import locks, runs, tickets

TABLE_LOCK = 0x6F70736C
"""PostgreSQL's advisory lock around taking locks; SQLite has one writer anyway."""

HELD = text("SELECT count(*) FROM locks WHERE run = :run AND fence = :fence")


@dataclass(frozen=True)
class Holder:
    """A run that stands in the way, and why: it holds the path, or came first for it."""

    run: str
    procedure: str
    requester: str
    path: str
    since: float
    queued: bool
    state: str = ""
    """The state of the run."""
    executor: str = ""
    """The process that last executed it."""

    def __str__(self) -> str:
        how = "waits first for" if self.queued else "holds"
        then = datetime.fromtimestamp(self.since, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
        parked = f" and {self.told_state}" if self.state in PARKED else ""
        return f"run {self.run} ({self.procedure}, by {self.requester}) {how} {self.path} since {then}{parked}"

    @property
    def told_state(self) -> str:
        """Its state as the end of a sentence."""
        return self.state if self.state.startswith("waits") else f"is {self.state}"


@dataclass(frozen=True)
class Held:
    """A path that a run keeps from others, and since when (UTC seconds)."""

    path: str
    since: float


def overlap(one: str, other: str) -> bool:
    """Whether two resource paths exclude each other: the same, or one above the other."""
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")


def in_order(paths: Iterable[str]) -> tuple[str, ...]:
    """The paths once each, sorted, without those that another one of them covers."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not any(overlap(path, one) for one in kept):
            kept.append(path)
    return tuple(kept)


def queue(connection: Connection, run: str, paths: Sequence[str], now: float) -> int:
    """The run's ticket, drawn where it has none yet."""
    _exclusive(connection)
    found = connection.execute(select(tickets.c.ticket).where(tickets.c.run == run)).scalar()
    if found is not None:
        return int(found)
    row = {"run": run, "paths": json.dumps(in_order(paths)), "at": now}
    return int(connection.execute(insert(tickets).values(row).returning(tickets.c.ticket)).scalar_one())


def take(connection: Connection, run: str, now: float) -> int | list[Holder]:
    """Take all paths of the run's ticket and give the fencing token, or say who stands in the way."""
    _exclusive(connection)
    mine = connection.execute(select(tickets).where(tickets.c.run == run)).one()
    paths = json.loads(mine.paths)
    if ahead := in_the_way(connection, paths, run, mine.ticket):
        return ahead
    # What an ended run left behind.
    connection.execute(delete(locks).where(locks.c.path.in_(paths)))
    rows = [{"path": path, "run": run, "fence": mine.ticket, "since": now} for path in paths]
    connection.execute(insert(locks), rows)
    connection.execute(delete(tickets).where(tickets.c.run == run))
    return int(mine.ticket)


def in_the_way(connection: Connection, paths: Sequence[str], run: str = "", ticket: int | None = None) -> list[Holder]:
    """The live runs that hold an overlapping path, or came for one before this ticket."""
    alive = runs.c.state.not_in([str(state) for state in ENDED])
    named = (runs.c.procedure, runs.c.requester, runs.c.state, runs.c.executor)
    held = select(locks, *named).join(runs, runs.c.id == locks.c.run).where(alive & (locks.c.run != run))
    found = [
        Holder(row.run, row.procedure, row.requester, row.path, row.since, False, row.state, row.executor)
        for row in connection.execute(held.order_by(locks.c.since))
        if any(overlap(row.path, path) for path in paths)
    ]
    waiting = select(tickets, *named).join(runs, runs.c.id == tickets.c.run).where(alive & (tickets.c.run != run))
    if ticket is not None:
        waiting = waiting.where(tickets.c.ticket < ticket)
    for row in connection.execute(waiting.order_by(tickets.c.ticket)):
        shared = [one for one in json.loads(row.paths) if any(overlap(one, path) for path in paths)]
        if shared:
            named_so = (row.run, row.procedure, row.requester, shared[0])
            found.append(Holder(*named_so, row.at, True, row.state, row.executor))
    return found


def held(connection: Connection) -> dict[str, list[Held]]:
    """What each live run holds now."""
    alive = runs.c.state.not_in([str(state) for state in ENDED])
    rows = connection.execute(select(locks).join(runs, runs.c.id == locks.c.run).where(alive).order_by(locks.c.path))
    found: dict[str, list[Held]] = {}
    for row in rows:
        found.setdefault(row.run, []).append(Held(row.path, row.since))
    return found


def holds(connection: Connection, run: str, fence: int) -> bool:
    """Whether every lock of the run still carries its fencing token; true also where it needs none."""
    if not fence:
        return True
    return bool(connection.execute(HELD, {"run": run, "fence": fence}).scalar())


def token(connection: Connection, run: str) -> int:
    """The fencing token that the run holds, or zero."""
    return int(connection.execute(select(func.max(locks.c.fence)).where(locks.c.run == run)).scalar() or 0)


def release(connection: Connection, run: str) -> None:
    """Give back what the run holds or waits for, in the transaction that ends it."""
    connection.execute(delete(locks).where(locks.c.run == run))
    connection.execute(delete(tickets).where(tickets.c.run == run))


def _exclusive(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": TABLE_LOCK})
