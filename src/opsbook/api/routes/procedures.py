"""Procedures, and what they would do now."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from opsbook.api.answers import answer
from opsbook.api.doors import Visit, needs, shown, subject
from opsbook.api.parameters import Asked, InPath, Values
from opsbook.api.planning import named, plan_of
from opsbook.engine.plan_told import plan_as_json, procedures_as_json
from opsbook.engine.procedure import Plan
from opsbook.engine.record import as_json
from opsbook.engine.service import Service, Wish

router = subject("procedures")
Viewer = Annotated[Visit, needs("viewer", "procedures")]
Responder = Annotated[Visit, needs("responder", "procedures")]
LINE = {"name": "restart-workers", "title": "Restart the workers", "risk": "disruptive", "owner": "", "steps": 3}
PLAN = {
    "procedure": "restart-workers", "title": "Restart the workers", "risk": "disruptive", "environment": "production",
    "parameters": {}, "digest": "2f51320bdc60…", "book_revision": "9b6109ba12cf…", "components": ["worker"],
    "locks": ["kiln/production"], "missing": [], "in_the_way": [], "steps": [],
}  # fmt: skip


class PlanAsked(Asked):
    """What a procedure is planned with."""

    parameters: Values = Field({}, max_length=100, examples=[{"older_than": "5m"}])


@router.get("/procedures", responses=shown([LINE]))
def procedures(visit: Viewer) -> Response:
    """The procedures of the book and those that come with opsbook; those that are broken with their mistakes."""
    return answer(procedures_as_json(*visit.service().compiled()))


@router.get("/procedures/{name}", responses=shown({**LINE, "parameters": [], "source": "---\ntitle: …"}))
def procedure(visit: Viewer, name: InPath) -> Response:
    """One procedure: its parameters, its steps with their risks, and its Markdown."""
    service = visit.service()
    one = named(service, name)
    told: Any = as_json(one)
    return answer({**told, "file": "", "source": service.source(one)})


@router.post("/procedures/{name}/plan", responses=shown(PLAN))
async def plan(visit: Responder, name: InPath, asked: PlanAsked) -> Response:
    """What the procedure would do now, and what it needs. Facts are read, nothing is changed."""
    service = await run_in_threadpool(visit.service)
    found = await plan_of(service, name, asked.parameters)
    return answer(await run_in_threadpool(_told, service, found))


def _told(service: Service, plan: Plan) -> dict[str, Any]:
    # Nobody has confirmed anything yet: what a person must say is one of its needs.
    needs = service.lacking(plan, Wish())
    return plan_as_json(plan, needs, service.in_the_way(plan.procedure), service.lock_paths(plan.procedure))
