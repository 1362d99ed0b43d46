"""Runs: what ran and runs, asking for one, and what people do to it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Query, Request
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from opsbook.api.answers import answer, cut, page, place
from opsbook.api.doors import Visit, needs, shown, subject
from opsbook.api.parameters import Cursor, InPath, Limit, Named
from opsbook.api.runs_asked import RunAsked, see
from opsbook.api.streams import open_stream
from opsbook.api.streams_of_runs import follow
from opsbook.engine.plan_told import plan_as_json
from opsbook.engine.states import RunState
from opsbook.engine.views import locks_held, summary
from opsbook.store import run_lists
from opsbook.store.database import reading
from opsbook.store.runs import output_of

router = subject("runs")
Viewer = Annotated[Visit, needs("viewer", "runs")]
Responder = Annotated[Visit, needs("responder", "runs")]
LINE = {
    "id": "261121-1508-m675", "procedure": "restart-workers", "environment": "production", "state": "running",
    "message": "", "requester": "ann", "requested_at": 1795286400.0, "started_at": 1795286401.0, "ended_at": None,
    "rehearsal": "", "locks": [{"path": "kiln/production", "fence": 4, "since": 1795286401.0}],
}  # fmt: skip
RUN = {**LINE, "title": "Restart the workers", "risk": "disruptive", "steps": [], "approvals": [], "acts": []}


@router.get("/runs", responses=shown({"items": [LINE], "next": "WzE3OTUy…"}))
def runs(
    visit: Viewer,
    procedure: Named = "",
    state: Annotated[list[RunState], Query(description="only in these states", max_length=20)] = [],  # noqa: B006
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Response:
    """Runs of the environment, newest first."""
    found_place = place(cursor, float, str)
    before = (found_place[0], found_place[1]) if found_place else None
    with reading(visit.setting.store) as connection:
        found = run_lists.page(
            connection, *visit.here, procedure=procedure, states=state, before=before, limit=limit + 1
        )
    held = locks_held(visit.setting.store)
    told, following = cut(found, limit, lambda run: (run.requested_at, run.id))
    return page([summary(run, held.get(run.id, ())) for run in told], following)


@router.post("/runs", status_code=202, responses={202: {"description": "it was asked for"}, **shown(RUN, "the run")})
async def ask(visit: Responder, asked: RunAsked) -> Response:
    """Ask for a run of a procedure: 202 with the new run, or 200 with the one that asks for the same and has not ended.

    With `digest`, the plan that you saw, it is confirmed; without, whatever is planned at the start is done, where
    policy lets that. What must be approved waits for another person. Policy refuses with 409 and says what is missing.
    """
    service = await run_in_threadpool(visit.service)
    run, new = await asked.ask(visit.house, service)
    view = await run_in_threadpool(see, visit, run)
    return answer(view.as_json(), 202 if new else 200, {"Location": f"/api/v1/runs/{run}"})


@router.get("/runs/{run}", responses=shown(RUN))
def run(visit: Viewer, run: InPath) -> Response:
    """A run with its steps, changes, approvals and acts; RUN is an id, its beginning or its end."""
    return answer(see(visit, run).as_json())


@router.get("/runs/{run}/plan", responses=shown({"digest": "2f51320bdc60…", "missing": [], "steps": []}))
def plan(visit: Viewer, run: InPath) -> Response:
    """The plan of a run as it is now, with the digest that an approval names."""
    view = see(visit, run)
    service = visit.house.service(visit.house.last_system(view.run.environment), visit.actor)
    return answer(plan_as_json(view.plan, service.lacking(view.plan), (), service.lock_paths(view.procedure)))


@router.get("/runs/{run}/log", responses=shown({"items": [{"id": 1, "step": "one", "start": 0, "text": "…"}]}))
def log(visit: Viewer, run: InPath, step: Named = "", limit: Limit = 200, cursor: Cursor = "") -> Response:
    """What the steps printed, in pieces, oldest first; `start` is the place of a piece in the output of its step."""
    view = see(visit, run)
    found_place = place(cursor, int)
    after = found_place[0] if found_place else 0
    rows = output_of(visit.setting.store, view.run.id, step=step, after=after, limit=limit + 1)
    told: list[dict[str, Any]] = [dict(row._mapping) for row in rows[:limit]]
    return page(told, [told[-1]["id"]] if len(rows) > limit else None)


@router.get("/runs/{run}/events", responses=shown("event: step\ndata: {…}\n", "events", "text/event-stream"))
async def events(
    request: Request,
    visit: Viewer,
    run: InPath,
    last: Annotated[str, Header(alias="Last-Event-ID", max_length=40, pattern=r"^[0-9]{0,18}(\.[0-9a-f]*)?$")] = "",
) -> EventSourceResponse:
    """A run as it goes on, as server-sent events `run`, `step` and `output`; the stream ends with the run.

    A client that comes back with `Last-Event-ID` is told what came meanwhile.
    """
    view = await run_in_threadpool(see, visit, run)
    return open_stream(request, visit, "runs", follow(visit, view.run.id, last))
