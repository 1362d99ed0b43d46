"""Security incidents: their own course, as a checklist that is opened with them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from opsbook.book.system import System
from opsbook.engine.access import Actor
from opsbook.store import checklists
from opsbook.store.checklists import Item, Opened
from opsbook.store.incidents import Incident
from opsbook.upkeep.containment import contained
from opsbook.watch.incident_acts import open_by_hand
from opsbook.watch.incident_facts import where_of

KIND = "security"
COURSE = (
    "Contain: stop what goes on, and cut off who does it (credentials revoked, addresses blocked, a part isolated)"
    "{contain}",
    "Preserve evidence before anything is mended: opsbook incident evidence {id} --to FOLDER",
    "Find out what was reached: logins, audit records, changed files, data that was read",
    "Tell those who must be told: the owner, those whose data it is, the authority where a law asks for it",
    "Rotate every credential that may be known to others",
    "Mend what let it happen, and prove that it is mended",
    "Verify the audit chain: opsbook audit verify",
    "Review: opsbook incident postmortem {id}, its actions with owners",
)
"""The course: contain, preserve, investigate, notify, rotate, mend, verify, review."""


def open_security(
    connection: Connection,
    system: System,
    actor: Actor,
    title: str,
    now: datetime,
    *,
    severity: str = "",
    component: str = "",
) -> Incident:
    """A security incident, and its list of steps. It ends only when somebody resolves it."""
    one = open_by_hand(connection, system, actor, title, now, severity=severity, component=component, kind=KIND)
    procedures = ", ".join(f"opsbook run {name}" for name in contained(system, component))
    contain = f": {procedures}" if procedures else ""
    items = tuple(Item(text.format(id=one.id, contain=contain)) for text in COURSE)
    opened = Opened(
        id=f"c{one.id[1:]}", key=f"incident/{one.id}/security", name="security-incident",
        title=f"Security: {one.title}",
        items=items, subject=f"incident:{one.id}", assignee=actor.name, opened_at=now.timestamp(),
    )  # fmt: skip
    checklists.add_all(connection, where_of(system), [opened])
    return one
