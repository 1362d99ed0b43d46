"""Putting messages into the outbox, in the transaction that decides to tell. `delivery` sends them afterwards.

Enqueueing is idempotent: a key names what is told, so that a decision made twice is told once. Each target becomes a
message to one address; what cannot be delivered there goes on to the next way (see `delivery`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection

from opsbook.book.business import calendar
from opsbook.book.model import BookModel
from opsbook.book.people import Channel
from opsbook.book.system import System
from opsbook.store import messages
from opsbook.watch.recipients import Address, addresses, settings_of
from opsbook.watch.wording import rendered

Urgency = Literal["page", "warning", "info"]
"""A page is sent at once, whatever the hour, and by another way where one fails. The others keep quiet hours."""


@dataclass(frozen=True)
class Message:
    """Something to be told. `kind` names the template beside `wording`: page, update, resolved, notice, report …"""

    key: str
    kind: str
    targets: tuple[str, ...]
    """Names of the book: channels, rotations, contacts."""
    subject: str
    urgency: Urgency = "warning"
    body: str = ""
    """What the template shows below the subject; a template may have more from `detail`."""
    incident: str = ""
    severity: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Facts for the template, and for channels that take JSON. No secrets."""
    instead_of: str = ""


def enqueue(connection: Connection, system: System, message: Message, now: datetime) -> int:
    """Put a message for every target into the outbox; how many there are. One that is there already stays."""
    return enqueue_all(connection, system, [message], now)


def enqueue_all(connection: Connection, system: System, told: Iterable[Message], now: datetime) -> int:
    """As `enqueue`, for many messages at once."""
    rows: dict[str, dict[str, Any]] = {}
    ways: dict[str, list[Address]] = {}
    for message in told:
        for target in dict.fromkeys(message.targets):
            if target not in ways:
                ways[target] = addresses(system.model, target, now)
            row = row_of(system, message, target, ways[target][0] if ways[target] else None, now)
            rows.setdefault(row["key"], row)
    messages.add(connection, list(rows.values()))
    return len(rows)


def row_of(
    system: System, message: Message, target: str, address: Address | None, now: datetime, *, as_it_is: bool = False
) -> dict[str, Any]:
    """A message to one address, as a row. Without an address it is sent to nobody, which fails, and goes another way.

    `as_it_is`: subject and body are worded already."""
    facts = dict(message.detail) | {"severity": message.severity}
    subject, body = message.subject, message.body
    if not as_it_is:
        known = {"system": system.model.system, "environment": system.name, "incident": message.incident, **facts}
        subject, body = rendered(message.kind, subject, body, known, system.folder)
    name = address.name if address else f"nobody:{target}"
    settings = settings_of(system.model, name)
    # A page is never dropped: the path named this channel, and may name no other.
    less = settings is not None and below(system.model, settings, message.severity)
    unwanted = less and message.urgency != "page"
    return {
        "key": f"{message.key}|{target}" if not message.instead_of else message.key,
        "system": system.model.system,
        "environment": system.name,
        "incident": message.incident,
        "target": target,
        "channel": name,
        "kind": message.kind,
        "urgency": message.urgency,
        "subject": subject,
        "body": body,
        "detail": json.dumps(facts, ensure_ascii=False),
        "state": "dropped" if unwanted else "waiting",
        "made_at": now.timestamp(),
        "due_at": when(system.model, settings, message.urgency, now).timestamp(),
        "error": f"{message.severity} is below `from_severity` of {name}" if unwanted else "",
        "instead_of": message.instead_of,
    }


def below(book: BookModel, channel: Channel, severity: str) -> bool:
    """Whether a severity is less urgent than a channel takes. The first of the book is the most urgent."""
    order = list(book.severities)
    if channel.from_severity not in order or severity not in order:
        return False
    return order.index(severity) > order.index(channel.from_severity)


def when(book: BookModel, channel: Channel | None, urgency: str, now: datetime) -> datetime:
    """When it may be sent: a page at once, the rest after the quiet hours and at the rhythm of a digest."""
    if channel is None or urgency == "page":
        return now
    moment = now
    if channel.quiet is not None:
        for opens, closes in calendar(channel.quiet, book.timezone).spans(now):
            moment = closes if opens <= now else now
            break
    if channel.digest:
        beat = channel.digest.total_seconds()
        moment += timedelta(seconds=beat - moment.timestamp() % beat)
    return moment
