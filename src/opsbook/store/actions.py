"""What post-mortems ask to be done, as rows. Everything works in the transaction that is handed in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from opsbook.store.history import IDS_A_STATEMENT, batched
from opsbook.store.watch_tables import actions, incidents


@dataclass(frozen=True)
class Action:
    """What a post-mortem asks for."""

    id: int
    incident: str
    text: str
    owner: str
    done_by: str
    made_at: float
    due_at: float | None
    done_at: float | None


def add(connection: Connection, **values: Any) -> int:
    """Store an action; its number."""
    number = connection.execute(insert(actions).values(values)).inserted_primary_key
    assert number is not None
    return int(number[0])


def end(connection: Connection, number: int, who: str, at: float) -> bool:
    """An action is done. False where there is no open one of this number."""
    wanted = (actions.c.id == number) & actions.c.done_at.is_(None)
    return connection.execute(update(actions).where(wanted).values(done_at=at, done_by=who)).rowcount > 0


def of_incidents(connection: Connection, ids: Collection[str], *, open_only: bool = False) -> list[Action]:
    """The actions of some incidents."""
    found: list[Action] = []
    for some in batched(sorted(ids), IDS_A_STATEMENT):
        query = select(actions).where(actions.c.incident.in_(some)).order_by(actions.c.id)
        if open_only:
            query = query.where(actions.c.done_at.is_(None))
        found += [Action(**row._mapping) for row in connection.execute(query)]
    return found


def of_system(connection: Connection, where: Mapping[str, str], *, open_only: bool = False) -> list[Action]:
    """The actions of all incidents of an environment, however long ago those were."""
    return page(connection, where, open_only=open_only)


def page(
    connection: Connection,
    where: Mapping[str, str],
    *,
    open_only: bool = False,
    after: int = 0,
    limit: int | None = None,
) -> list[Action]:
    """The same, some of them: those with numbers above `after`."""
    here = (incidents.c.system == where["system"]) & (incidents.c.environment == where["environment"])
    query = select(actions).join(incidents, incidents.c.id == actions.c.incident).where(here, actions.c.id > after)
    query = query.order_by(actions.c.id).limit(limit)
    if open_only:
        query = query.where(actions.c.done_at.is_(None))
    return [Action(**row._mapping) for row in connection.execute(query)]


def of_number(connection: Connection, number: int) -> Action | None:
    """The action of a number."""
    row = connection.execute(select(actions).where(actions.c.id == number)).first()
    return Action(**row._mapping) if row else None
