"""Alerts as they stand, and the webhook through which Alertmanager tells of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from opsbook.api.answers import answer, cut, page, place
from opsbook.api.doors import Visit, needs, shown, subject
from opsbook.api.parameters import Cursor, Limit, Named, Seconds
from opsbook.errors import UsageError
from opsbook.store import alerts as store
from opsbook.store.database import reading
from opsbook.watch.alertmanager import read_body, signals_of
from opsbook.watch.deciding import tell

router = subject("alerts")
Viewer = Annotated[Visit, needs("viewer", "alerts")]
ALERT = {
    "id": "a7c1…", "fingerprint": "check:api-up", "source": "check", "phase": "firing", "state": "critical",
    "title": "api: http.up", "sentence": "the API does not answer", "check_id": "api-up", "component": "api",
    "since": 1795286400.0, "fired_at": 1795286460.0, "resolved_at": None, "incident": "i261121-1508-k7",
    "silenced_by": "", "cause": "", "labels": {},
}  # fmt: skip
OF_THE_STORE = frozenset({"open_key", "system", "environment", "labels", "changes"})
WEBHOOK = {
    "version": "4", "status": "firing", "groupKey": "{}:{alertname=\"Slow\"}",
    "alerts": [{"status": "firing", "labels": {"alertname": "Slow", "component": "api"}, "fingerprint": "1f2e3d4c"}],
}  # fmt: skip


@router.get("/alerts", responses=shown({"items": [ALERT], "next": None}))
def alerts(
    visit: Viewer,
    phase: Literal["", "pending", "firing"] = "",
    component: Named = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """The alerts that are open, oldest first."""
    with reading(visit.setting.store) as connection:
        rows = store.open_page(
            connection, visit.where, phase=phase, component=component, after=_place(cursor), limit=limit + 1
        )
    return _page(rows, limit)


@router.get("/alerts/history", responses=shown({"items": [ALERT], "next": "WzE3OTUy…"}))
def history(
    visit: Viewer, since: Seconds = 0.0, until: Seconds | None = None, limit: Limit = 100, cursor: Cursor = ""
) -> Response:
    """The alerts that were firing at some moment of a time, newest first."""
    end = visit.setting.now() if until is None else until
    with reading(visit.setting.store) as connection:
        rows = store.between(connection, visit.where, since, end, limit + 1, _place(cursor))
    return _page(rows, limit)


@router.post(
    "/alertmanager",
    responses=shown({"alerts": 1, "turned": 1}, "taken in"),
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {
        "schema": {"type": "object", "required": ["version", "alerts"]}, "example": WEBHOOK}}}},
)  # fmt: skip
async def alertmanager(request: Request, visit: Annotated[Visit, needs("responder", "alerts")]) -> Response:
    """Alertmanager's webhook, version 4. The same group sent again changes nothing.

    Set it up as `webhook_configs: [{url: …, max_alerts: 0, http_config: {authorization: {credentials_file: …}}}]`;
    `opsbook generate alertmanager` writes that.
    """
    body = await request.body()
    if visit.environment != visit.house.usual:
        raise UsageError(f"{visit.environment} is not watched here", f"this opsbook watches {visit.house.usual}")
    watch = visit.house.watch
    signals = await run_in_threadpool(lambda: signals_of(read_body(body), watch.system, visit.setting.clock.now()))
    turned = await tell(watch, signals)
    return answer({"alerts": len(signals), "turned": len(turned)})


def _place(cursor: str) -> tuple[float, str] | None:
    found = place(cursor, float, str)
    return (found[0], found[1]) if found else None


def _page(rows: Sequence[Mapping[str, Any]], limit: int) -> Response:
    told, following = cut(rows, limit, lambda row: (row["since"], row["id"]))
    return page([as_json(row) for row in told], following)


def as_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """An alert as it is stored, without what is of the store alone."""
    told = {name: value for name, value in row.items() if name not in OF_THE_STORE}
    more = json.loads(row["labels"] or "{}")
    return {**told, "labels": more.get("labels", {}), "notify": more.get("notify", []), "hold": more.get("hold", 0.0)}
