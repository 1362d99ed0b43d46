"""What is told of an incident and to whom: facts for messages, pages that are due, who answers for it. Pure but for one
look at what was told."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from opsbook.book.system import System
from opsbook.engine.identity import LETTERS
from opsbook.store import messages
from opsbook.store.incidents import Event, Incident
from opsbook.watch import escalation
from opsbook.watch.contract import Alert
from opsbook.watch.outbox import Message

OPSBOOK = "opsbook"


def where_of(system: System) -> dict[str, str]:
    """The columns that say which system and environment a row is of."""
    return {"system": system.model.system, "environment": system.name}


def new_id(now: datetime, taken: set[str]) -> str:
    """An id that is free, such as `i261121-1213-k7qa`."""
    while True:
        found = f"i{now:%y%m%d-%H%M}-" + "".join(secrets.choice(LETTERS) for _ in range(4))
        if found not in taken:
            taken.add(found)
            return found


def facts_of(one: Incident, **more: Any) -> dict[str, Any]:
    """What messages and channels are told of an incident. No secrets."""
    return {
        "incident": one.id,
        "title": one.title,
        "severity": one.severity,
        "component": one.component,
        "procedure": one.procedure,
        "system": one.system,
        "environment": one.environment,
        "opened_at": one.opened_at,
        **more,
    }


def pages(
    system: System, one: Incident, told: set[str], now: datetime, body: str = ""
) -> tuple[list[Message], float | None]:
    """The pages of an incident that are due, and when the next one is. Pure."""
    begun = one.round_at if one.round_at is not None else one.opened_at
    beginning = f"page|{one.id}|{one.rounds}|"
    keys = {key.removeprefix(beginning).partition("|instead|")[0] for key in told if key.startswith(beginning)}
    # Also where the clock was set back since then: somebody has it.
    acknowledged = now if one.acknowledged_at is not None else None
    due, following = escalation.due(escalation.from_text(one.path), _moment(begun) or now, acknowledged, keys, now)
    made = [
        Message(
            key=beginning + page.key,
            kind="practice" if one.kind == "practice" else "page",
            targets=(page.notify,),
            subject=f"{one.title} — {system.model.title or one.system} {one.environment}",
            urgency="page",
            body=body,
            incident=one.id,
            severity=one.severity,
            detail=facts_of(one, level=page.level, number=page.number),
        )
        for page in due
    ]
    return made, following.timestamp() if following else None


def paged(one: Incident, message: Message) -> Event:
    """The line of the timeline that says who was called."""
    level = message.detail.get("level", "")
    again = message.detail.get("number", 0)
    text = f"{level}: paging {message.targets[0]}" + (" again" if again else "")
    return Event(one.id, 0.0, OPSBOOK, "paged", text, key=f"event|{message.key}|{message.targets[0]}")


def responsible(connection: Connection, system: System, one: Incident) -> tuple[str, ...]:
    """Whom to remind of an incident: who has it, else those who were paged, else the first level."""
    book = system.model
    for name in (one.assignee, one.acknowledged_by):
        contact = contact_of(system, name)
        if contact and (book.contacts[contact].notify is not None or book.contacts[contact].email):
            return (contact,)
    told = dict.fromkeys(messages.told(connection, one.id, "page").values())
    return tuple(told) or tuple(rung.notify for rung in escalation.from_text(one.path)[:1])


def contact_of(system: System, user: str) -> str:
    """The contact that acts by this name, or has it; empty where there is none."""
    contacts = system.model.contacts
    return next((name for name, one in contacts.items() if user and one.user == user), user if user in contacts else "")


def title_of(alert: Alert) -> str:
    """What an alert is called."""
    return alert.title or alert.check or alert.fingerprint


def sentence_of(alert: Alert) -> str:
    """What is so, in a sentence."""
    return alert.sentence or alert.shown or str(alert.state)


def _moment(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)


def told_of(alert: Alert) -> str:
    """What is wrong, in a line: the state is named once."""
    sentence = sentence_of(alert)
    middle = "" if str(alert.state) in sentence else f" is {alert.state}"
    return f"{title_of(alert)}{middle}: {sentence}"
