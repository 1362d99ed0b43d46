"""A page for practice: the whole way from a message to an answer, measured, while nothing is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from opsbook.book.system import System
from opsbook.book.units import show_duration
from opsbook.book.words import nearest
from opsbook.engine.access import Actor
from opsbook.errors import UsageError
from opsbook.store import incidents as store
from opsbook.store import messages
from opsbook.store.incidents import Incident
from opsbook.watch.escalation import Rung
from opsbook.watch.incident_acts import open_by_hand
from opsbook.watch.recipients import addresses

KIND = "practice"


@dataclass(frozen=True)
class Measured:
    """How it went so far. Seconds since it began; None where that has not come yet."""

    incident: Incident
    delivered: tuple[tuple[str, float], ...]
    failed: tuple[tuple[str, str], ...]
    answered: float | None

    @property
    def told(self) -> str:
        """In a sentence."""
        by = ", ".join(f"{channel} after {show_duration(after)}" for channel, after in self.delivered)
        wrong = "; ".join(f"{channel} failed: {error}" for channel, error in self.failed)
        said = f"delivered by {by}" if by else "not delivered yet"
        who = self.incident.acknowledged_by
        answer = f"answered by {who} after {show_duration(self.answered)}" if self.answered is not None else "no answer"
        return "; ".join(part for part in (said, wrong, answer) if part)


def begin(connection: Connection, system: System, actor: Actor, target: str, now: datetime) -> Incident:
    """Page a target, or the first level of the book's path, for practice. Raises UsageError where nobody is reached."""
    book = system.model
    if not target and not book.escalation:
        raise UsageError("the book has no `escalation`", "name a channel, a rotation or a contact")
    name = target or book.escalation[0].notify
    known = [*book.oncall, *book.contacts, *book.channels]
    if name not in known:
        raise UsageError(f"there is no channel, rotation or contact named {name!r}", nearest(name, known))
    if not addresses(book, name, now):
        raise UsageError(f"{name} has no address now", "`opsbook oncall` shows who is on call; see `contacts`")
    path = (Rung("practice", name),)
    title = f"Practice page to {name}"
    return open_by_hand(connection, system, actor, title, now, kind=KIND, path=path)


def measured(connection: Connection, incident: str) -> Measured:
    """How a practice page went so far."""
    one = store.of_id(connection, incident)
    assert one is not None
    rows = [row for row in messages.of_incident(connection, incident) if row.kind == KIND]
    delivered = [(row.channel, row.delivered_at - one.opened_at) for row in rows if row.delivered_at is not None]
    failed = [(row.channel, row.error) for row in rows if row.error and row.delivered_at is None]
    answered = one.acknowledged_at - one.opened_at if one.acknowledged_at is not None else None
    return Measured(one, tuple(delivered), tuple(failed), answered)
