"""Checklists that are open, line by line."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Path
from pydantic import Field
from sqlalchemy import Connection
from starlette.responses import Response

from opsbook.api.answers import answer, page, part, place
from opsbook.api.doors import Visit, needs, shown, subject
from opsbook.api.named import found
from opsbook.api.parameters import Asked, Cursor, InPath, Limit, Text, Word
from opsbook.book.system import System
from opsbook.store import checklists as store
from opsbook.store.checklists import Opened
from opsbook.store.database import reading
from opsbook.watch import checklists
from opsbook.watch.acting import must_be

router = subject("checklists")
Viewer = Annotated[Visit, needs("viewer", "checklists")]
Responder = Annotated[Visit, needs("responder", "checklists")]
Number = Annotated[int, Path(ge=1, le=1000, description="the line's number, from 1")]
WEEK = 7 * 86_400.0
LIST = {"id": "c261121-k7", "name": "handover", "title": "Hand-over", "state": "open",
        "items": [{"number": 1, "text": "the pager is charged", "by": "", "at": None, "note": ""}]}  # fmt: skip


class ListOpened(Asked):
    """A checklist of the book that is opened now."""

    name: Word = Field(examples=["handover"])
    subject: Text = Field("", max_length=200, description="what it is for", examples=["incident:i261121-1508-k7"])


class Ticked(Asked):
    """What was seen or done."""

    note: Text = ""


class Noted(Asked):
    """What is written beside a line."""

    text: Text = Field(min_length=1)


@router.get("/checklists", responses=shown({"items": [LIST], "next": None}))
def open_lists(visit: Viewer, done: bool = False, limit: Limit = 100, cursor: Cursor = "") -> Response:
    """The checklists that are open, oldest first; with `done`, those of the last week too."""
    now, after = visit.setting.now(), place(cursor, float, str)
    with reading(visit.setting.store) as connection:
        some = store.since(connection, visit.where, now - WEEK) if done else store.not_done(connection, visit.where)
    told, following = part(some, limit, lambda one: (one.opened_at, one.id), after)
    return page([checklists.as_json(one, now) for one in told], following)


@router.get("/checklists/{id}", responses=shown(LIST))
def open_list(visit: Viewer, id: InPath) -> Response:
    """One checklist: by its id, or by its name the newest."""
    with reading(visit.setting.store) as connection, found():
        return answer(checklists.as_json(checklists.find(connection, visit.known, id), visit.setting.now()))


@router.post("/checklists", status_code=201, responses={201: {"description": "it is open"}})
async def open_one(visit: Responder, asked: ListOpened) -> Response:
    """Open a checklist of the book now, whatever its schedule."""

    def do(connection: Connection, system: System, now: datetime) -> Opened:
        must_be(system, visit.actor, "responder", "open a checklist")
        key = asked.subject or f"by-hand/{now:%Y-%m-%dT%H:%M:%SZ}"
        reason = checklists.Reason(key, asked.subject or f"by {visit.actor.name}")
        one = store.by_id(connection, checklists.open_list(connection, system, asked.name, reason, now))
        assert one is not None
        return one

    return answer(checklists.as_json(await visit.write(do), visit.setting.now()), 201)


@router.post("/checklists/{id}/lines/{number}/tick", responses=shown(LIST))
async def tick(visit: Responder, id: InPath, number: Number, asked: Ticked) -> Response:
    """Tick a line. It is recorded who did."""
    one = await visit.write(lambda c, s, now: checklists.tick(c, s, visit.actor, id, number, asked.note, now))
    return answer(checklists.as_json(one, visit.setting.now()))


@router.post("/checklists/{id}/lines/{number}/note", responses=shown(LIST))
async def note(visit: Responder, id: InPath, number: Number, asked: Noted) -> Response:
    """Write beside a line, ticked or not."""
    one = await visit.write(lambda c, s, now: checklists.note(c, s, visit.actor, id, number, asked.text, now))
    return answer(checklists.as_json(one, visit.setting.now()))
