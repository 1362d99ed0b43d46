"""Who may do what in the watch, and the record that they did it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from opsbook.book.system import System
from opsbook.engine.access import ROLES, Actor, asker_of
from opsbook.errors import Refused
from opsbook.store.audit import Act

Role = Literal["viewer", "responder", "operator", "admin"]


def must_be(system: System, actor: Actor, role: Role, what: str) -> None:
    """Raises Refused where the book gives the actor neither this role nor a higher one. `what` completes: may not …"""
    wanted = ROLES[ROLES.index(role) :]
    if not asker_of(system.model.access, actor).one_of(wanted):
        raise Refused(f"{actor.name} may not {what}: that needs the role {role}", "ask somebody who has it")


def act(system: System, actor: Actor, now: datetime, event: str, detail: Mapping[str, Any], outcome: str = "") -> Act:
    """A record for the audit chain, with the place that it is about."""
    where = {"system": system.model.system, "environment": system.name}
    return Act(now.timestamp(), actor.name, actor.origin, event, outcome=outcome, detail={**where, **detail})
