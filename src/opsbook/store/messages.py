"""The outbox as rows: what is to be told, who is telling it now, and what became of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, text, update

from opsbook.store.calls import call
from opsbook.store.history import IDS_A_STATEMENT, batched
from opsbook.store.incidents import Incident
from opsbook.store.watch_tables import incidents, messages

ADD = text("""
    INSERT INTO messages (key, system, environment, incident, target, channel, kind, urgency, subject, body, detail,
                          state, made_at, due_at, attempts, error, instead_of)
    VALUES (:key, :system, :environment, :incident, :target, :channel, :kind, :urgency, :subject, :body, :detail,
            :state, :made_at, :due_at, 0, :error, :instead_of)
    ON CONFLICT (key) DO NOTHING
""")


AT_ONCE = 5_000
"""Messages that one sender takes at a time."""
LONGEST_WAIT = 1_860.0
"""Seconds for which a page waits at most until it is tried again."""

PASSED_ON = ("acknowledged", "resolved")
"""Kinds of messages that end or answer what a channel was told."""


@dataclass(frozen=True)
class Crowd:
    """What waits for a channel, and what it was told lately."""

    waiting: int
    oldest: float
    sent: int = 0
    last: float | None = None


@dataclass(frozen=True)
class MessageRow:
    """A message to one address. Times are UTC seconds since 1970."""

    id: int
    key: str
    system: str
    environment: str
    incident: str
    target: str
    channel: str
    kind: str
    urgency: str
    subject: str
    body: str
    detail: str
    state: str
    made_at: float
    due_at: float
    attempts: int
    claimed_by: str
    claimed_until: float | None
    delivered_at: float | None
    receipt: str
    error: str
    instead_of: str


def add(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Put messages into the outbox; those whose key is there already stay as they are. Whoever sends is called."""
    if rows:
        connection.execute(ADD, list(rows))
        call(connection, rows)


def claim(
    connection: Connection, where: Mapping[str, str], channel: str, who: str, now: float, lease: float, limit: int
) -> list[MessageRow]:
    """Take messages to a channel that are due, or whose sender died, for `lease` seconds. Pages come first."""
    free = _free(now)
    query = (
        select(messages.c.id)
        .where(_here(where), messages.c.channel == channel, free)
        .order_by((messages.c.urgency != "page"), messages.c.due_at, messages.c.id)
        .limit(limit)
    )
    ids = list(connection.execute(query).scalars())
    mine: list[MessageRow] = []
    for some in _some(ids):
        taken = (
            update(messages)
            .where(messages.c.id.in_(some), free)
            .values(state="sending", claimed_by=who, claimed_until=now + lease, attempts=messages.c.attempts + 1)
            .returning(messages)
        )
        mine += [MessageRow(**row._mapping) for row in connection.execute(taken)]
    return sorted(mine, key=lambda row: row.id)


def settle(connection: Connection, ids: Sequence[int], who: str, **values: Any) -> list[int]:
    """Note what became of messages; only of those that are still this sender's. Returns which."""
    done: list[int] = []
    for some in _some(ids):
        mine = (
            update(messages)
            .where(messages.c.id.in_(some), messages.c.state == "sending", messages.c.claimed_by == who)
            .values(claimed_until=None, **values)
            .returning(messages.c.id)
        )
        done += connection.execute(mine).scalars()
    return done


def release(connection: Connection, where: Mapping[str, str], but: str) -> int:
    """Free what others than this sender have claimed: none of them lives."""
    theirs = _here(where) & (messages.c.state == "sending") & (messages.c.claimed_by != but)
    freed = update(messages).where(theirs).values(state="waiting", claimed_until=None)
    return connection.execute(freed).rowcount


def drop(connection: Connection, incident: str, kinds: Collection[str], reason: str, *, key_with: str = "") -> int:
    """Messages of an incident that wait and need not be told any more; only those whose key holds `key_with`."""
    wanted = (messages.c.incident == incident) & messages.c.kind.in_(kinds) & (messages.c.state == "waiting")
    if key_with:
        wanted &= messages.c.key.contains(key_with, autoescape=True)
    return connection.execute(update(messages).where(wanted).values(state="dropped", error=reason)).rowcount


def told(connection: Connection, incident: str, kind: str) -> dict[str, str]:
    """Key → target of what an incident has told of a kind, whether it was delivered yet or not."""
    query = select(messages.c.key, messages.c.target).where(messages.c.incident == incident, messages.c.kind == kind)
    return {row.key: row.target for row in connection.execute(query)}


def told_by_incident(connection: Connection, ids: Sequence[str], kind: str) -> dict[str, set[str]]:
    """Incident → keys of what it has told of a kind."""
    found: dict[str, set[str]] = {}
    for some in batched(ids, IDS_A_STATEMENT):
        query = select(messages.c.incident, messages.c.key).where(
            messages.c.incident.in_(some), messages.c.kind == kind
        )
        for row in connection.execute(query):
            found.setdefault(row.incident, set()).add(row.key)
    return found


def told_alone(
    connection: Connection, where: Mapping[str, str], channels: Collection[str], since: float
) -> list[tuple[str, str, str]]:
    """Incident, channel and target of what these channels took, of incidents that were answered or ended since."""
    changed = or_(incidents.c.acknowledged_at > since, incidents.c.resolved_at > since)
    query = (
        select(messages.c.incident, messages.c.channel, func.min(messages.c.target).label("target"))
        .join(incidents, incidents.c.id == messages.c.incident)
        .where(_here(where), messages.c.channel.in_(channels), messages.c.state == "delivered", changed)
        .where(messages.c.kind.not_in(PASSED_ON))
        .group_by(messages.c.incident, messages.c.channel)
    )
    return [(row.incident, row.channel, row.target) for row in connection.execute(query)]


def passed_on(connection: Connection, known: Mapping[str, Incident]) -> set[tuple[str, str, str]]:
    """Incident, channel and kind of what was told of the end or the answer of incidents, since they last began."""
    found: set[tuple[str, str, str]] = set()
    for some in batched(sorted(known), IDS_A_STATEMENT):
        query = select(messages.c.incident, messages.c.channel, messages.c.kind, messages.c.made_at).where(
            messages.c.incident.in_(some), messages.c.kind.in_(PASSED_ON), messages.c.state != "dropped"
        )
        for row in connection.execute(query):
            if row.made_at >= (known[row.incident].round_at or 0.0):
                found.add((row.incident, row.channel, row.kind))
    return found


def unknown(connection: Connection, keys: Collection[str]) -> list[str]:
    """Which of these keys no message has."""
    known: set[str] = set()
    for some in batched(sorted(keys), IDS_A_STATEMENT):
        known.update(connection.execute(select(messages.c.key).where(messages.c.key.in_(some))).scalars())
    return [key for key in keys if key not in known]


def put_back(connection: Connection, ids: Sequence[int], who: str) -> None:
    """Let go of what was claimed and not tried."""
    settle(connection, ids, who, state="waiting", attempts=messages.c.attempts - 1)


def of_incident(connection: Connection, incident: str, limit: int = 500) -> list[MessageRow]:
    """Its messages, oldest first."""
    query = select(messages).where(messages.c.incident == incident).order_by(messages.c.id).limit(limit)
    return [MessageRow(**row._mapping) for row in connection.execute(query)]


def chain_of(connection: Connection, key: str) -> list[MessageRow]:
    """A message and all that was tried in its place: those whose key begins with its own."""
    first = key.partition("|instead|")[0]
    same = or_(messages.c.key == first, messages.c.key.startswith(first + "|instead|", autoescape=True))
    return [MessageRow(**row._mapping) for row in connection.execute(select(messages).where(same))]


def chains(connection: Connection, ids: Collection[str]) -> dict[str, set[str]]:
    """Key of each first message of these incidents → the channels to which it was tried, also in its place."""
    found: dict[str, set[str]] = {}
    # By the index of incidents: the beginning of a key would be looked for in thousands of rows, thousands of times.
    for some in batched(sorted(ids), IDS_A_STATEMENT):
        query = select(messages.c.key, messages.c.channel).where(messages.c.incident.in_(some))
        for row in connection.execute(query):
            found.setdefault(row.key.partition("|instead|")[0], set()).add(row.channel)
    return found


def crowds(connection: Connection, where: Mapping[str, str], now: float, lately: float) -> dict[str, Crowd]:
    """Of each channel that has something to send now: how much, since when, and what it was told lately."""
    query = (
        select(messages.c.channel, func.count(), func.min(messages.c.due_at))
        .where(_here(where), _free(now))
        .group_by(messages.c.channel)
    )
    waiting = {row[0]: Crowd(row[1], row[2]) for row in connection.execute(query)}
    if not waiting:
        return {}
    # A digest is one delivery of many messages. Many services give the same receipt each time.
    each = (
        select(messages.c.channel, messages.c.delivered_at, messages.c.receipt)
        .where(_here(where), messages.c.state == "delivered", messages.c.delivered_at > now - lately)
        .distinct()
        .subquery()
    )
    sent = select(each.c.channel, func.count(), func.max(each.c.delivered_at)).group_by(each.c.channel)
    for channel, count, last in connection.execute(sent):
        if channel in waiting:
            waiting[channel] = Crowd(waiting[channel].waiting, waiting[channel].oldest, count, last)
    return waiting


def next_due(connection: Connection, where: Mapping[str, str]) -> float | None:
    """When the next message is to be sent or taken over."""
    first = select(func.min(messages.c.due_at)).where(_here(where), messages.c.state == "waiting")
    taken = select(func.min(messages.c.claimed_until)).where(_here(where), messages.c.state == "sending")
    moments = (connection.execute(query).scalar() for query in (first, taken))
    return min((one for one in moments if one is not None), default=None)


def _free(now: float) -> ColumnElement[bool]:
    # No page waits longer than that: the clock was set back.
    page = (messages.c.urgency == "page") & (messages.c.due_at > now + LONGEST_WAIT)
    return or_(
        and_(messages.c.state == "waiting", or_(messages.c.due_at <= now, page)),
        and_(messages.c.state == "sending", messages.c.claimed_until <= now),
    )


def _here(where: Mapping[str, str]) -> ColumnElement[bool]:
    return (messages.c.system == where["system"]) & (messages.c.environment == where["environment"])


def _some(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), IDS_A_STATEMENT):
        yield ids[start : start + IDS_A_STATEMENT]
