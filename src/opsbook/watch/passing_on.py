"""Tells services that keep incidents of their own (`alone` in `channels.contract`) what became of ours: that somebody
has it, and that it is over, however it came to that.

Such a service goes on calling until it hears of it. What is told of a resolved incident goes to who is on call by then,
and a practice or a merged one is told to nobody: this goes to the very addresses that were called.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from opsbook.book.system import System
from opsbook.store import incidents, messages
from opsbook.store.incidents import Incident
from opsbook.watch.incident_facts import facts_of, where_of
from opsbook.watch.outbox import Message, row_of
from opsbook.watch.recipients import Address

LATELY = timedelta(hours=1)
"""What changed longer ago was passed on, or nothing of it can be any more."""


def unheard(connection: Connection, system: System, channels: Collection[str], now: datetime) -> list[dict[str, Any]]:
    """The messages by which these channels hear what they have not heard yet of incidents that they were told of."""
    told = messages.told_alone(connection, where_of(system), channels, (now - LATELY).timestamp())
    known = incidents.of_ids(connection, {incident for incident, _, _ in told})
    heard = messages.passed_on(connection, known)
    rows: dict[str, dict[str, Any]] = {}
    for incident, channel, target in told:
        message = _news(known[incident])
        if (incident, channel, message.kind) not in heard:
            made = row_of(system, message, channel, Address(channel), now)
            # Neither quiet hours nor a severity that is lower by now may keep it calling.
            made |= {"target": target, "state": "waiting", "error": "", "due_at": now.timestamp()}
            rows[made["key"]] = made
    return [rows[key] for key in messages.unknown(connection, rows)]


def _news(one: Incident) -> Message:
    kind, who = ("resolved", one.resolved_by) if one.over else ("acknowledged", one.acknowledged_by)
    key = f"passed|{one.id}|{one.rounds}|{kind}"
    body = f"{who} said so." if who else ""
    return Message(key, kind, (), f"{one.title}: {kind}", "info", body, one.id, one.severity, facts_of(one))
