"""What people do to runs: approve, cancel, resolve, tick, repeat."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from opsbook.api.answers import answer, cut, page, place
from opsbook.api.doors import Visit, needs, shown, subject
from opsbook.api.parameters import Asked, Cursor, InPath, Limit, Reasoned, Text, Word
from opsbook.api.runs_asked import see
from opsbook.book.system import System
from opsbook.engine import acts
from opsbook.engine.service import Wish
from opsbook.engine.states import RunState
from opsbook.engine.views import View
from opsbook.store import run_lists
from opsbook.store.database import reading

router = subject("runs")
Viewer = Annotated[Visit, needs("viewer", "runs")]
Responder = Annotated[Visit, needs("responder", "runs")]
EXAMPLE = {"id": "261121-1508-m675", "procedure": "restart-workers", "state": "running", "steps": []}
WAITING = {
    "run": "261121-1508-m675", "procedure": "restart-workers", "requester": "ann", "risk": "disruptive",
    "message": "a disruptive plan in production must be approved by another person", "step": "", "digest": "2f51320b…",
}  # fmt: skip


class Yes(Asked):
    """Somebody's yes to one plan."""

    digest: str = Field(
        pattern=r"^[0-9a-f]{12,64}$",
        description="of the plan that you saw, its beginning at least",
        examples=["2f51320bdc60"],
    )


class Cancelled(Reasoned):
    """How a run is cancelled."""

    undo: bool = Field(False, description="undo what it did, in reverse")


class Resolved(Asked):
    """What became of the change that is ambiguous."""

    decided: Literal["done", "not-done"] = Field(alias="as", examples=["done"])
    note: Text = Field("", description="how you know; it is recorded")


class Ticked(Asked):
    """An act of a person that is done."""

    item: int | None = Field(None, ge=1, le=1000, description="which one, by its number; the next where left out")
    note: Text = ""


class Broken(Asked):
    """Why the glass is broken."""

    reason: Text = Field(min_length=1, examples=["payment fraud, nobody reachable"], description="it is recorded")


class Repeated(Asked):
    """How a run is repeated."""

    first: Word | None = Field(None, alias="from", description="the first step; the one that failed where left out")
    confirmed: bool = Field(False, description="you have seen what it will do")
    break_glass: Text = ""


@router.get("/approvals", responses=shown({"items": [WAITING], "next": None}))
def approvals(visit: Viewer, limit: Limit = 50, cursor: Cursor = "") -> Response:
    """The plans that wait for a yes, newest first, with the digest that it must name."""
    at = place(cursor, float, str)
    before = (at[0], at[1]) if at else None
    with reading(visit.setting.store) as connection:
        found = run_lists.page(connection, *visit.here, states=[RunState.APPROVAL], before=before, limit=limit + 1)
    told, following = cut(found, limit, lambda run: (run.requested_at, run.id))
    return page([_waiting(see(visit, one.id)) for one in told], following)


@router.post("/runs/{run}/approve", responses=shown(EXAMPLE))
async def approve(visit: Responder, run: InPath, asked: Yes) -> Response:
    """Say yes to the plan that you saw. Whoever asked for the run is never one who approves it."""
    return await _act(
        visit, run, lambda view: acts.approve(visit.setting, _system(visit, view), view, visit.actor, asked.digest)
    )


@router.post("/runs/{run}/cancel", responses=shown(EXAMPLE))
async def cancel(visit: Responder, run: InPath, asked: Cancelled) -> Response:
    """Ask a run to stop: what it is in the middle of is ended, and undone where that is asked for."""
    return await _act(
        visit, run, lambda view: acts.cancel(visit.setting, view, visit.actor, asked.reason, undo=asked.undo)
    )


@router.post("/runs/{run}/resolve", responses=shown(EXAMPLE))
async def resolve(visit: Annotated[Visit, needs("operator", "runs")], run: InPath, asked: Resolved) -> Response:
    """Say what became of the change whose outcome is not known; the run goes on with that."""
    return await _act(
        visit, run, lambda view: acts.resolve(visit.setting, view, visit.actor, asked.decided, asked.note)
    )


@router.post("/runs/{run}/tick", responses=shown(EXAMPLE))
async def tick(visit: Responder, run: InPath, asked: Ticked) -> Response:
    """Say that an act that the run waits for is done."""
    item = None if asked.item is None else asked.item - 1
    return await _act(visit, run, lambda view: acts.tick(visit.setting, view, visit.actor, item, asked.note))


@router.post("/runs/{run}/break-glass", responses=shown(EXAMPLE))
async def break_glass(visit: Responder, run: InPath, asked: Broken) -> Response:
    """Let a run that waits pass approvals and windows, where policy lets you; the reason is recorded."""
    return await _act(
        visit, run, lambda view: acts.break_glass(visit.setting, _system(visit, view), view, visit.actor, asked.reason)
    )


@router.post("/runs/{run}/rerun", status_code=202, responses={202: {"description": "it was asked for"}})
async def rerun(visit: Responder, run: InPath, asked: Repeated) -> Response:
    """Run the procedure of a run that has ended again from a step, as it was compiled then."""
    view = await run_in_threadpool(see, visit, run)
    service = visit.house.service(await run_in_threadpool(_system, visit, view), visit.actor)
    wish = Wish(asked.confirmed, asked.break_glass)
    # In a loop of its own: policy may look for backups in a bucket, and this one must not wait for that.
    row = await run_in_threadpool(lambda: asyncio.run(service.rerun(view, asked.first or "", wish)))
    again = await run_in_threadpool(see, visit, row.id)
    return answer(again.as_json(), 202, {"Location": f"/api/v1/runs/{row.id}"})


async def _act(visit: Visit, run: str, call: Callable[[View], object]) -> Response:
    """Do it in the thread that writes, on the run as it is then."""
    await visit.house.act(lambda: call(see(visit, run)))
    return answer((await run_in_threadpool(see, visit, run)).as_json())


def _system(visit: Visit, view: View) -> System:
    return visit.house.system(view.run.environment)


def _waiting(view: View) -> dict[str, object]:
    step, digest = acts.what_waits(view)
    run = view.run
    return {"run": run.id, "procedure": run.procedure, "title": run.title, "risk": run.risk, "step": step,
            "digest": digest, "requester": run.requester, "requested_at": run.requested_at,
            "message": run.message}  # fmt: skip
