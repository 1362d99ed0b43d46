"""The audit chain: who did what, and whether it is still what was written."""

from __future__ import annotations

from typing import Annotated

from starlette.responses import Response

from opsbook.api.answers import answer, page, place
from opsbook.api.doors import Visit, needs, shown, subject
from opsbook.api.parameters import Cursor, Limit, Named
from opsbook.store.audit import as_json, newest
from opsbook.store.audit_head import verify_store

router = subject("audit")
Viewer = Annotated[Visit, needs("viewer", "audit", whole=True)]
RECORD = {"seq": 41, "at": 1795286400.0, "actor": "ann", "origin": "10.0.0.7, token k3v9x0a1b2", "event": "approved",
          "run": "261121-1508-m675", "outcome": "", "detail": {}, "hash": "5f0c…"}  # fmt: skip


@router.get("/audit", responses=shown({"items": [RECORD], "next": "WzQxXQ"}))
def audit(visit: Viewer, run: Named = "", limit: Limit = 100, cursor: Cursor = "") -> Response:
    """Acts, newest first: all of them, or those of a run, by its whole id."""
    found_place = place(cursor, int)
    before = found_place[0] if found_place else None
    found = newest(visit.setting.store, limit + 1, run=run, before=before)[::-1]
    return page([as_json(one) for one in found[:limit]], [found[limit - 1].seq] if len(found) > limit else None)


@router.get("/audit/verify", responses=shown({"records": 41, "first": 1, "last": 41, "hash": "5f0c…", "broken": None}))
def verify(visit: Annotated[Visit, needs("operator", "audit", whole=True)]) -> Response:
    """Go through the whole chain and its signed heads; `broken` names the first record that is not what was written."""
    found = verify_store(visit.setting.store, visit.setting.head)
    return answer({**vars(found), "broken": vars(found.broken) if found.broken else None})
