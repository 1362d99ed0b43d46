"""Incidents: what is wrong, who has it, what was done; and every act on one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import Field
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from opsbook.api.answers import answer, cut, page, place
from opsbook.api.doors import Visit, needs, shown, subject
from opsbook.api.named import found
from opsbook.api.parameters import Asked, Cursor, InPath, Limit, Text, Word
from opsbook.book.system import System
from opsbook.errors import UsageError
from opsbook.store.actions import of_incidents as actions_of
from opsbook.store.actions import page as actions_page
from opsbook.store.database import reading
from opsbook.store.evidence import of_incident as evidence_of
from opsbook.store.incidents import Incident
from opsbook.watch import incident_acts as acts
from opsbook.watch.incident_facts import where_of
from opsbook.watch.incident_views import listed, summary, view_of
from opsbook.watch.postmortem import written
from opsbook.watch.security import open_security
from opsbook.watch.waking import TELLING

router = subject("incidents")
Viewer = Annotated[Visit, needs("viewer", "incidents")]
Responder = Annotated[Visit, needs("responder", "incidents")]
LINE = {
    "id": "i261121-1508-k7", "title": "api: http.up", "severity": "P1", "state": "open", "component": "api",
    "assignee": None, "opened_at": 1795286460.0, "acknowledged_at": None, "resolved_at": None,
    "clocks": [{"name": "respond", "promised": 900.0, "used": 60.0, "standing": "runs"}],
}  # fmt: skip
SAID = {"said": "i261121-1508-k7 is acknowledged by ann after 3 min", "incident": LINE}
ACTION = {"id": 3, "incident": "i261121-1508-k7", "text": "raise the limit", "owner": "ann", "done_at": None}


class Opened(Asked):
    """An incident that a person reports."""

    title: Text = Field(min_length=1, examples=["customers cannot log in"])
    severity: Word | None = Field(None, description="one of the book; the most urgent where left out")
    component: Word | None = None
    security: bool = Field(False, description="a security incident: it has steps of its own")


class Said(Asked):
    """What somebody says."""

    text: Text = Field("", examples=["the database was restarted"])


class Given(Asked):
    """To whom it is given."""

    to: Text = Field(min_length=1, max_length=200, examples=["ann"], description="a contact of the book")


class Role(Asked):
    """Who takes a role in it."""

    role: Word = Field(examples=["commander"])
    who: Text = Field("", max_length=200, description="a contact of the book; nobody where empty")


class Assessed(Asked):
    """How bad it is."""

    severity: Word = Field(examples=["P1"])


class Merged(Asked):
    """What it is a part of."""

    into: Word = Field(examples=["i261121-1502-b3"])


class Action(Asked):
    """What is to be done so that it does not come again."""

    text: Text = Field(min_length=1, examples=["raise the limit"])
    owner: Text = Field("", max_length=200)
    due: date | None = Field(None, description="the day, by the book's clock", examples=["2026-12-01"])


@router.get("/incidents", responses=shown({"items": [LINE], "next": "W3RydWUs…"}))
def incidents(visit: Viewer, open: bool = False, limit: Limit = 50, cursor: Cursor = "") -> Response:
    """Incidents, those that go on first, then the others, each newest first; with `open`, only those that go on."""
    now = visit.setting.clock.now()
    at = place(cursor, bool, float, str)
    after = (at[0], at[1], at[2]) if at else None
    with reading(visit.setting.store) as connection:
        some = listed(connection, visit.known, now, open_only=open, limit=limit + 1, after=after)
    told, following = cut(some, limit, lambda one: (one[0].over, one[0].opened_at, one[0].id))
    return page([summary(one, clocks) for one, clocks in told], following)


@router.get("/incidents/{id}", responses=shown({**LINE, "timeline": [], "alerts": [], "messages": []}))
def incident(visit: Viewer, id: InPath) -> Response:
    """One in full: clocks, alerts, timeline, messages, evidence, actions."""
    return answer(_view(visit, id))


@router.get("/incidents/{id}/evidence", responses=shown([{"name": "locks", "text": "…", "sha256": "9f…"}]))
def evidence(visit: Viewer, id: InPath) -> Response:
    """What was gathered of the system for it."""
    with reading(visit.setting.store) as connection:
        return answer([vars(one) for one in evidence_of(connection, _one(connection, visit, id).id)])


@router.get("/incidents/{id}/postmortem", responses=shown("# api: http.up\n…", "Markdown", "text/markdown"))
def postmortem(visit: Responder, id: InPath) -> Response:
    """Its post-mortem as it would be begun now: figures, timeline, graphs, actions. Nothing is written."""
    with reading(visit.setting.store) as connection:
        one = _one(connection, visit, id)
    _, text = written(visit.setting, visit.known, visit.actor, one.id, keep=False)
    return Response(text.encode("utf-8", "replace"), media_type="text/markdown; charset=utf-8")


@router.post("/incidents", status_code=201, responses={201: {"description": "it is open"}})
async def open_incident(visit: Responder, asked: Opened) -> Response:
    """Report an incident that no check has seen. It pages as any other."""

    def do(connection: Connection, system: System, now: datetime) -> str:
        make = open_security if asked.security else acts.open_by_hand
        severity, component = asked.severity or "", asked.component or ""
        return make(connection, system, visit.actor, asked.title, now, severity=severity, component=component).id

    id = await visit.write(do, TELLING)
    told = await run_in_threadpool(_view, visit, id)
    return answer({"said": f"{id} is open", "incident": told}, 201, {"Location": f"/api/v1/incidents/{id}"})


@router.post("/incidents/{id}/ack", responses=shown(SAID))
async def acknowledge(visit: Responder, id: InPath) -> Response:
    """Say that you have it: nobody further is paged."""
    return await _act(visit, id, lambda c, s, one, now: acts.acknowledge(c, s, one, visit.actor, now))


@router.post("/incidents/{id}/note", responses=shown(SAID))
async def note(visit: Responder, id: InPath, asked: Said) -> Response:
    """Write a line into its timeline."""
    return await _act(visit, id, lambda c, s, one, now: acts.note(c, s, one, visit.actor, asked.text, now))


@router.post("/incidents/{id}/update", responses=shown(SAID))
async def update(visit: Responder, id: InPath, asked: Said) -> Response:
    """Tell everybody who was told of it how it stands."""
    return await _act(visit, id, lambda c, s, one, now: acts.update(c, s, one, visit.actor, asked.text, now))


@router.post("/incidents/{id}/assign", responses=shown(SAID))
async def assign(visit: Responder, id: InPath, asked: Given) -> Response:
    """Give it to somebody of the book's contacts, and tell them."""
    return await _act(visit, id, lambda c, s, one, now: acts.assign(c, s, one, visit.actor, asked.to, now))


@router.post("/incidents/{id}/role", responses=shown(SAID))
async def role(visit: Responder, id: InPath, asked: Role) -> Response:
    """Say who takes a role in it."""
    return await _act(
        visit, id, lambda c, s, one, now: acts.take_role(c, s, one, visit.actor, asked.role, asked.who, now)
    )


@router.post("/incidents/{id}/severity", responses=shown(SAID))
async def severity(visit: Responder, id: InPath, asked: Assessed) -> Response:
    """Assess it anew. A more urgent one that nobody has acknowledged pages again."""
    return await _act(visit, id, lambda c, s, one, now: acts.set_severity(c, s, one, visit.actor, asked.severity, now))


@router.post("/incidents/{id}/mitigate", responses=shown(SAID))
async def mitigate(visit: Responder, id: InPath, asked: Said) -> Response:
    """Say that the harm has stopped, though the cause is not mended."""
    return await _act(visit, id, lambda c, s, one, now: acts.mitigate(c, s, one, visit.actor, asked.text, now))


@router.post("/incidents/{id}/resolve", responses=shown(SAID))
async def resolve(visit: Responder, id: InPath, asked: Said) -> Response:
    """Say that it is over; with a reason where an alert of it still fires."""
    return await _act(visit, id, lambda c, s, one, now: acts.resolve(c, s, one, visit.actor, asked.text, now))


@router.post("/incidents/{id}/reopen", responses=shown(SAID))
async def reopen(visit: Responder, id: InPath, asked: Said) -> Response:
    """Say that it was not over. Its pages begin again."""
    return await _act(visit, id, lambda c, s, one, now: acts.reopen(c, s, one, visit.actor, asked.text, now))


@router.post("/incidents/{id}/merge", responses=shown(SAID))
async def merge(visit: Responder, id: InPath, asked: Merged) -> Response:
    """Make it a part of another: its alerts go there, and it ends."""
    return await _act(
        visit, id, lambda c, s, one, now: acts.merge(c, s, one, visit.actor, _one(c, visit, asked.into), now)
    )


@router.get("/actions", responses=shown({"items": [ACTION], "next": None}))
def actions(visit: Viewer, open: bool = True, limit: Limit = 100, cursor: Cursor = "") -> Response:
    """What post-mortems ask to be done, by their numbers."""
    at = place(cursor, int)
    after = at[0] if at else 0
    with reading(visit.setting.store) as connection:
        found = actions_page(connection, where_of(visit.known), open_only=open, after=after, limit=limit + 1)
    told, following = cut(found, limit, lambda one: (one.id,))
    return page([vars(one) for one in told], following)


@router.post("/incidents/{id}/actions", responses=shown(SAID))
async def add_action(visit: Responder, id: InPath, asked: Action) -> Response:
    """Add something that is to be done so that it does not come again."""

    def do(connection: Connection, system: System, one: Incident, now: datetime) -> str:
        zone = ZoneInfo(str(system.model.timezone))
        due = datetime.combine(asked.due, time(18), zone) if asked.due else None
        return acts.add_action(connection, system, one, visit.actor, asked.text, asked.owner, due, now)

    return await _act(visit, id, do)


@router.post("/incidents/{id}/actions/{number}/done", responses=shown(SAID))
async def end_action(visit: Responder, id: InPath, number: int) -> Response:
    """Say that an action is done."""

    def do(connection: Connection, system: System, one: Incident, now: datetime) -> str:
        if number not in {each.id for each in actions_of(connection, [one.id])}:
            raise UsageError(f"{one.id} has no action {number}", f"GET /api/v1/incidents/{one.id} lists them")
        return acts.end_action(connection, system, number, visit.actor, now)

    return await _act(visit, id, do)


async def _act(visit: Visit, id: str, do: Callable[[Connection, System, Incident, datetime], str]) -> Response:
    said = await visit.write(
        lambda connection, system, now: do(connection, system, _one(connection, visit, id), now), TELLING
    )
    return answer({"said": said, "incident": await run_in_threadpool(_view, visit, id)})


def _one(connection: Connection, visit: Visit, id: str) -> Incident:
    """The incident of this environment that is meant. Raises NotFound."""
    with found():
        one = acts.find(connection, visit.known, id)
        if one.system != visit.house.name:
            raise UsageError(f"there is no incident {id!r}", "GET /api/v1/incidents lists them")
        return one


def _view(visit: Visit, id: str) -> dict[str, Any]:
    now = visit.setting.clock.now()
    with reading(visit.setting.store) as connection:
        return view_of(connection, visit.known, _one(connection, visit, id), now).as_json()
