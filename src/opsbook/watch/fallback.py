"""What comes of a message that was not delivered: later again, another way, and an alert about the channel.

Invariant: a page is never given up while its incident waits for an answer: where no other way is left it is tried
again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    """Some messages to a channel were not delivered."""
    gave_up, pages = False, False
    for row in rows:
        page = row.urgency == "page"
        last = permanent or row.attempts >= (PAGE_ATTEMPTS if page else ATTEMPTS)
        gave_up, pages = gave_up or last, pages or (last and page)
        way = another_way(connection, system, row, now) if last and page else None
        if last and (way is not None or not page):
            messages.settle(connection, [row.id], who, state="failed", error=error)
        else:
            due = now.timestamp() + pause(row.attempts)
            messages.settle(connection, [row.id], who, state="waiting", error=error, due_at=due)
        if way is not None:
            messages.add(connection, [way])
        if last and row.incident:
            to = f"; now by {way['channel']}" if way else "" if not page else "; it is tried again"
            text = f"{row.channel} did not take the {row.kind}: {error}{to}"
            key = f"undelivered|{row.key}|{row.attempts}"
            incidents.tell(connection, [Event(row.incident, now.timestamp(), "opsbook", "undelivered", text, "", key)])
    if gave_up:
        _signal(connection, system, channel, State.CRITICAL if pages else State.WARNING, error, now)


def another_way(connection: Connection, system: System, row: MessageRow, now: datetime) -> dict[str, object] | None:
    """The same page to the next address that was not tried yet; None where there is none."""
    one = incidents.of_id(connection, row.incident) if row.incident else None
    path = escalation.from_text(one.path) if one else ()
    tried = {tried.channel for tried in messages.chain_of(connection, row.key, row.incident)}
    for target, address in further(system.model, row.target, path, tried, now):
        first = row.key.partition("|instead|")[0]
        told = Message(
            key=f"{first}|instead|{address.name}", kind=row.kind, targets=(target,), subject=row.subject,
            urgency="page", body=row.body, incident=row.incident, instead_of=row.key,
        )  # fmt: skip
        made = row_of(system, told, target, address, now, as_it_is=True)
        # Whatever it says: better to the wrong one than to nobody.
        return made | {"detail": row.detail, "state": "waiting", "error": ""}
    return None


def works(connection: Connection, system: System, channel: str, now: datetime) -> None:
    """A channel took a message: an alert about it is over."""
    if alerts.open_ones(connection, where_of(system), {fingerprint(channel)}):
        _signal(connection, system, channel, State.OK, "it takes messages again", now)


def fingerprint(channel: str) -> str:
    """The name of the alert about a channel."""
    return f"channel:{channel}"


def _signal(connection: Connection, system: System, channel: str, state: State, sentence: str, now: datetime) -> None:
    labels = {"channel": channel}
    title = f"messages to {channel} are not delivered"
    signal = Signal(fingerprint(channel), "opsbook", now, state, title, sentence, labels=labels)
    take_in(connection, system, [signal], now, respond)
