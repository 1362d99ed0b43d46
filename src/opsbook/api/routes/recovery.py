"""Backups that are stored, promises about recovery, and drills that prove them."""

from __future__ import annotations

from typing import Annotated

from starlette.responses import Response

from opsbook.api.answers import answer, page, part, place
from opsbook.api.doors import Visit, needs, shown, subject
from opsbook.api.parameters import Cursor, InPath, Limit, Named
from opsbook.api.problems import NotFound
from opsbook.errors import UsageError
from opsbook.recovery import drills as drilling
from opsbook.recovery.report import promised
from opsbook.recovery.stock import stock
from opsbook.recovery.told import promised_as_json, stock_as_json
from opsbook.store import drills as measured

router = subject("backups")
Viewer = Annotated[Visit, needs("viewer", "backups")]
OBJECTIVE = {
    "objective": "database", "standing": "proven",
    "promises": [{"figure": "rto", "target_seconds": 7200, "measured_seconds": 311.4, "standing": "proven"}],
}  # fmt: skip


@router.get("/backups", responses=shown({"backups": {"nightly": {"backups": []}}, "failed": []}))
def backups(visit: Viewer) -> Response:
    """What the stores hold, by the id of the backup; `failed` names what could not be asked."""
    return _stock(visit)


@router.get("/backups/{id}", responses=shown({"backups": {"nightly": {"backups": []}}, "failed": []}))
def backup(visit: Viewer, id: InPath) -> Response:
    """What the store of one backup holds."""
    try:
        return _stock(visit, id)
    except UsageError as error:
        raise NotFound(error.message, error.hint) from error


@router.get("/objectives", responses=shown([OBJECTIVE]))
def objectives(visit: Viewer) -> Response:
    """Every promise about recovery: what was measured, how it stands, what could be recovered from now."""
    now = visit.setting.clock.now()
    return answer([promised_as_json(one, now) for one in promised(visit.setting, visit.system, now)])


@router.get("/drills", responses=shown({"items": [{"objective": "database", "good": True, "rto_seconds": 311.4}]}))
def drills(visit: Viewer, objective: Named = "", limit: Limit = 50, cursor: Cursor = "") -> Response:
    """What drills measured, newest first."""
    system, after = visit.system, place(cursor, float, str, str)

    def key(row: measured.DrillRow) -> tuple[float, str, str]:
        return -row.at, row.run, row.objective

    found = sorted(measured.measured(visit.setting.store, visit.environment, objective), key=key)
    told, following = part(found, limit, key, after)
    return page([drilling.as_json(row, system) for row in told], following)


def _stock(visit: Visit, *names: str) -> Response:
    found = stock(visit.system, names, visit.setting.head.public)
    failed = [{"detail": error.message, "hint": error.hint} for error in found.failed]
    return answer({"backups": stock_as_json(found), "failed": failed})
