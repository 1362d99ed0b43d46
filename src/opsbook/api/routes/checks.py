"""What checks say now and said before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import Header, Query, Request
from sse_starlette import EventSourceResponse
from starlette.responses import Response

from opsbook.api.answers import answer, page, place
from opsbook.api.doors import Visit, needs, shown, subject
from opsbook.api.parameters import Cursor, InPath, Limit, Named, Seconds
from opsbook.api.problems import NotFound
from opsbook.api.streams import open_stream
from opsbook.api.streams_of_checks import states
from opsbook.book.checks import Check
from opsbook.book.system import System
from opsbook.book.words import nearest
from opsbook.store import history as points
from opsbook.store import rollups
from opsbook.store.database import reading

router = subject("checks")
Viewer = Annotated[Visit, needs("viewer", "checks")]
STATE = {
    "id": "replication-lag", "component": "database", "observe": "postgres.replication_lag", "state": "warning",
    "value": 2.1, "sentence": "replication lag is 2.1 s (warning above 1 s)", "at": 1795286400.0,
    "procedure": "replica-behind",
}  # fmt: skip


@router.get("/checks", responses=shown({"state": "warning", "results": [STATE]}))
def checks(
    visit: Viewer, component: Named = "", state: Literal["", "ok", "warning", "critical", "unknown"] = ""
) -> Response:
    """The newest result of every check of the environment; `state` null where it was never asked."""
    system = visit.system
    known = latest(visit, [check.id for check in system.checks if component in ("", check.of)])
    told = [as_json(check, known.get(check.id)) for check in system.checks if component in ("", check.of)]
    chosen = [one for one in told if state in ("", one["state"])]
    return answer({"system": visit.house.name, "environment": visit.environment, "results": chosen})


@router.get("/checks/events", responses=shown("id: 812\nevent: result\ndata: {…}\n", "events", "text/event-stream"))
async def events(
    request: Request,
    visit: Viewer,
    last: Annotated[str, Header(alias="Last-Event-ID", max_length=40, pattern=r"^[0-9]*$")] = "",
) -> EventSourceResponse:
    """Results of checks as they come, as server-sent events `result`; first the newest of each.

    A client that comes back with `Last-Event-ID` is told what came meanwhile.
    """
    return open_stream(request, visit, "checks", states(visit, int(last) if last else None))


@router.get("/checks/{id}", responses=shown(STATE))
def check(visit: Viewer, id: InPath) -> Response:
    """One check: what it holds against what, and its newest result."""
    system = visit.system
    one = named(system, id)
    written = one.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return answer({**as_json(one, latest(visit, [id]).get(id)), "written": written})


@router.get("/checks/{id}/history", responses=shown({"items": [{"at": 1795286400.0, "state": "ok", "value": 0.2}]}))
def history(visit: Viewer, id: InPath, since: Seconds = 0.0, limit: Limit = 100, cursor: Cursor = "") -> Response:
    """Stored results of a check, newest first."""
    named(visit.system, id)
    before = place(cursor, float)
    found = points.page(visit.setting.store, *visit.here, id, since, before[0] if before else None, limit + 1)
    told = [{"at": one.at, "state": one.state, "value": one.value, "sentence": one.sentence} for one in found[:limit]]
    return page(told, [found[limit - 1].at] if len(found) > limit else None)


@router.get("/checks/{id}/rollups", responses=shown([{"start": 1795286400.0, "ok": 10, "counted": 10, "mean": 0.2}]))
def rolled_up(
    visit: Viewer,
    id: InPath,
    span: Annotated[Literal[300, 3600], Query(description="seconds of each")] = 3600,
    until: Annotated[Seconds | None, Query(description="now where left out")] = None,
    count: Annotated[int, Query(ge=1, le=3000, description="how many spans back from there")] = 288,
) -> Response:
    """Results of a check by five minutes or hours, oldest first: how many said what; least, most and mean value."""
    named(visit.system, id)
    end = visit.setting.now() if until is None else until
    with reading(visit.setting.store) as connection:
        found = rollups.figures(connection, visit.where, id, span, end - count * span, end)
    return answer([{**vars(one), "mean": one.mean} for one in found])


def named(system: System, id: str) -> Check:
    """A check of the environment. Raises NotFound with the nearest."""
    for one in system.checks:
        if one.id == id:
            return one
    raise NotFound(f"there is no check named {id!r}", nearest(id, [one.id for one in system.checks]))


def latest(visit: Visit, ids: Sequence[str]) -> Mapping[str, points.Point]:
    """The newest stored result of each of these checks. Blocking."""
    with reading(visit.setting.store) as connection:
        return points.newest_of(connection, *visit.here, ids)


def as_json(check: Check, point: points.Point | None) -> dict[str, Any]:
    """A check and its newest result."""
    return {
        "id": check.id, "component": check.of, "observe": check.observe, "state": point.state if point else None,
        "value": point.value if point else None, "sentence": point.sentence if point else "",
        "at": point.at if point else None, "procedure": check.procedure,
    }  # fmt: skip
