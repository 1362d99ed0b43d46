"""Who is on call."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import Query
from pydantic import AwareDatetime
from starlette.responses import Response

from opsbook.api.answers import answer
from opsbook.api.doors import Visit, needs, shown, subject
from opsbook.api.parameters import InPath
from opsbook.api.problems import NotFound
from opsbook.book.rotations import stretches
from opsbook.book.words import nearest
from opsbook.watch.page_path import duties_as_json

router = subject("oncall")
Viewer = Annotated[Visit, needs("viewer", "oncall")]
DUTY: dict[str, Any] = {"rotation": "primary", "who": "ann", "why": "turn"}
LEVEL = {"level": "L1", "notify": "primary", "who": "primary (ann)", "by": ["ann"], "within": "5m", "seconds": 300}


@router.get("/oncall", responses=shown({"at": 1795286400.0, "rotations": [DUTY], "escalation": [LEVEL]}))
def oncall(
    visit: Viewer, at: Annotated[AwareDatetime | None, Query(description="now where left out")] = None
) -> Response:
    """Who is on call now or at a moment, and whom an incident would page, level by level."""
    return answer(duties_as_json(visit.known, at or visit.setting.clock.now()))


@router.get("/oncall/{rotation}", responses=shown([{"start": "2026-11-23T08:00:00+00:00", "who": "ann"}]))
def turns(visit: Viewer, rotation: InPath, days: Annotated[int, Query(ge=1, le=366)] = 28) -> Response:
    """The turns of a rotation to come; `who` is null where nobody is on call."""
    model, now = visit.known.model, visit.setting.clock.now()
    if rotation not in model.oncall:
        raise NotFound(f"there is no rotation {rotation!r}", nearest(rotation, model.oncall))
    told = [
        {"start": one.start.isoformat(), "end": one.end.isoformat(), "who": one.duty.who or None, "why": one.duty.why}
        for one in stretches(model, rotation, now, now + timedelta(days=days))
    ]
    return answer(told)
