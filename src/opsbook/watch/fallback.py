"""What comes of a message that was not delivered: later again, another way, and an alert about the channel.

Invariant: a page is never given up while its incident waits for an answer: where no other way is left it is tried
again and again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from opsbook.book.system import System
from opsbook.checks.evaluate import State
from opsbook.store import alerts, incidents, messages
from opsbook.store.incidents import Event
from opsbook.store.messages import MessageRow
from opsbook.watch import escalation
from opsbook.watch.alerts import take_in
from opsbook.watch.contract import Signal
from opsbook.watch.grouping import CHANNEL
from opsbook.watch.incident_facts import where_of
from opsbook.watch.incidents import respond
from opsbook.watch.outbox import Message, row_of
from opsbook.watch.recipients import further

AGAIN = (5.0, 15.0, 60.0, 300.0, 900.0, 1800.0)
"""Seconds until the second attempt, the third …; the last one for all that follow."""
PAGE_ATTEMPTS = 2
"""After so many attempts a page goes another way: it must not wait for a server that is down."""
ATTEMPTS = 8
"""After so many attempts anything else is given up: an hour and a half."""


def pause(attempts: int) -> float:
    """Seconds until the next attempt, after so many. Pure."""
    return AGAIN[min(max(attempts, 1), len(AGAIN)) - 1]


def failed(
    connection: Connection,
    system: System,
    who: str,
    channel: str,
    rows: Sequence[MessageRow],
    error: str,
    *,
    permanent: bool,
    now: datetime,
) -> None:
    """Some messages to a channel were not delivered: in a storm thousands at once, by a few statements."""
    last = [one for one in rows if permanent or one.attempts >= (PAGE_ATTEMPTS if _page(one) else ATTEMPTS)]
    ways = other_ways(connection, system, [one for one in last if _page(one)], now)
    over = {one.id for one in last if one.id in ways or not _page(one)}
    messages.settle(connection, sorted(over), who, state="failed", error=error)
    again: dict[float, list[int]] = {}
    for one in rows:
        if one.id not in over:
            again.setdefault(pause(one.attempts), []).append(one.id)
    for seconds, ids in again.items():
        messages.settle(connection, ids, who, state="waiting", error=error, due_at=now.timestamp() + seconds)
    messages.add(connection, list(ways.values()))
    incidents.tell(connection, [_line(one, ways.get(one.id), error, now) for one in last if one.incident])
    if last:
        state = State.CRITICAL if any(map(_page, last)) else State.WARNING
        _signal(connection, system, channel, state, error, now)


def _page(row: MessageRow) -> bool:
    return row.urgency == "page"


def _line(row: MessageRow, way: Mapping[str, object] | None, error: str, now: datetime) -> Event:
    to = f"; now by {way['channel']}" if way else "; it is tried again" if _page(row) else ""
    text = f"{row.channel} did not take the {row.kind}: {error}{to}"
    key = f"undelivered|{row.key}|{row.attempts}"
    return Event(row.incident, now.timestamp(), "opsbook", "undelivered", text, "", key)


def other_ways(
    connection: Connection, system: System, rows: Sequence[MessageRow], now: datetime
) -> dict[int, dict[str, object]]:
    """Message → the same page to the next address that was not tried yet, where there is one."""
    ids = {one.incident for one in rows if one.incident}
    known, tried = incidents.of_ids(connection, ids), messages.chains(connection, ids)
    found: dict[int, dict[str, object]] = {}
    for one in rows:
        first = one.key.partition("|instead|")[0]
        been = tried.get(first) or {each.channel for each in messages.chain_of(connection, one.key)}
        path = escalation.from_text(known[one.incident].path) if one.incident in known else ()
        way = next(iter(further(system.model, one.target, path, been, now)), None)
        if way is None:
            continue
        target, address = way
        told = Message(
            key=f"{first}|instead|{address.name}", kind=one.kind, targets=(target,), subject=one.subject,
            urgency="page", body=one.body, incident=one.incident, instead_of=one.key,
        )  # fmt: skip
        made = row_of(system, told, target, address, now, as_it_is=True)
        # Whatever it says: better to the wrong one than to nobody.
        found[one.id] = made | {"detail": one.detail, "state": "waiting", "error": ""}
    return found


def works(connection: Connection, system: System, channel: str, now: datetime) -> None:
    """A channel took a message: an alert about it is over."""
    if alerts.open_ones(connection, where_of(system), {fingerprint(channel)}):
        _signal(connection, system, channel, State.OK, "it takes messages again", now)


def fingerprint(channel: str) -> str:
    """The name of the alert about a channel."""
    return f"{CHANNEL}:{channel}"


def _signal(connection: Connection, system: System, channel: str, state: State, sentence: str, now: datetime) -> None:
    labels = {"channel": channel}
    title = f"messages to {channel} are not delivered"
    signal = Signal(fingerprint(channel), "opsbook", now, state, title, sentence, labels=labels)
    take_in(connection, system, [signal], now, respond)
