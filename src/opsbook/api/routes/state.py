"""How everything stands now: the screen of 3 a.m., promises of service, what fills up, opsbook itself in numbers."""

from __future__ import annotations

import math
from typing import Annotated, Any

from starlette.responses import Response

from opsbook.api.answers import answer
from opsbook.api.doors import Visit, needs, shown, subject
from opsbook.errors import UsageError
from opsbook.watch import slos as promises
from opsbook.watch.capacity import outlooks
from opsbook.watch.contract import Watch
from opsbook.watch.selfmetrics import metrics_text
from opsbook.watch.status import as_json
from opsbook.watch.status import status as status_now

router = subject("status", prefix="")
Viewer = Annotated[Visit, needs("viewer", "status")]
SLO = {"id": "api-available", "check": "api-up", "target": 0.999, "state": "ok", "ok": 0.9997, "budget_left": 0.7}
GROWING = {"id": "disk", "check": "disk-full", "component": "database", "state": "ok", "days_left": 41.2}


@router.get("/api/v1/status", responses=shown({"system": "kiln", "environment": "production", "bad": [], "runs": []}))
def status(visit: Viewer) -> Response:
    """What fires since when and who has it, what changed, what runs, who is on call: as `opsbook status` has it."""
    return answer(as_json(status_now(visit.setting, visit.known)))


@router.get("/api/v1/slos", responses=shown([SLO]))
def slos(visit: Viewer) -> Response:
    """Every promise of service: its share of good time, and what is left of its error budget."""
    watch = visit.house.watch
    found = promises.levels(Watch(watch.setting, visit.known, watch.connections), visit.setting.clock.now())
    return answer([_slo(one) for one in found])


@router.get("/api/v1/capacity", responses=shown([GROWING]))
def capacity(visit: Viewer) -> Response:
    """What fills up: where it is, how it grows, and when it is full at that growth."""
    now = visit.setting.clock.now()
    return answer([one.as_json(now) for one in outlooks(visit.setting, visit.known, now)])


@router.get("/metrics", responses=shown("opsbook_up 1\n", "the text exposition format", "text/plain"))
def metrics(visit: Annotated[Visit, needs("viewer", "metrics")]) -> Response:
    """Checks, alerts, incidents, messages, runs, backups and opsbook itself, for Prometheus."""
    if visit.environment != visit.house.usual:
        raise UsageError(f"{visit.environment} is not watched here", f"this opsbook watches {visit.house.usual}")
    text = metrics_text(visit.house.watch, visit.house.parts)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _slo(one: promises.Level) -> dict[str, Any]:
    left = one.budget_left
    return {
        "id": one.slo.id, "check": one.slo.check, "target": one.slo.target, "state": one.state, "ok": one.whole.ok,
        "budget_left": left if left is not None and math.isfinite(left) else None, "sentence": one.sentence,
    }  # fmt: skip
