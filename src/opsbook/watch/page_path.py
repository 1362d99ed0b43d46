"""Whom an incident would page at a moment, level by level."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from opsbook.book.rotations import on_call
from opsbook.book.system import System
from opsbook.book.units import write_duration
from opsbook.watch.recipients import addresses, person


def duties_as_json(system: System, moment: datetime) -> dict[str, Any]:
    """Who is on call in every rotation of the book, and whom an incident would page."""
    duties = [on_call(system.model, name, moment) for name in system.model.oncall]
    return {
        "at": moment.timestamp(),
        "rotations": [{**vars(one), "who": one.who or None} for one in duties],
        "escalation": page_path(system, moment),
    }


def page_path(system: System, moment: datetime) -> list[dict[str, Any]]:
    """The levels of the book's escalation with who that is then, and by which ways they are told."""
    found = []
    for level in system.model.escalation:
        who = person(system.model, level.notify, moment)
        found.append(
            {
                "level": level.level,
                "notify": level.notify,
                "who": f"{level.notify} ({who})" if who and who != level.notify else level.notify,
                "by": [address.name for address in addresses(system.model, level.notify, moment)],
                "within": write_duration(level.within.total_seconds()),
                "seconds": level.within.total_seconds(),
            }
        )
    return found
