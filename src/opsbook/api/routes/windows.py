"""Planned maintenance, windows that a person opens, and silences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Query
from pydantic import AwareDatetime, Field
from starlette.responses import Response

from opsbook.api.answers import answer, page, part, place
from opsbook.api.doors import Visit, needs, shown, subject
from opsbook.api.parameters import Asked, Cursor, InPath, Limit, Text, Word
from opsbook.store import silences as silenced
from opsbook.store.database import reading
from opsbook.store.windows import Came
from opsbook.watch import silences, window_acts
from opsbook.watch.window_calendar import as_ical, coming

router = subject("windows")
Viewer = Annotated[Visit, needs("viewer", "windows")]
Responder = Annotated[Visit, needs("responder", "windows")]
Operator = Annotated[Visit, needs("operator", "windows")]
Days = Annotated[int, Query(ge=1, le=366, description="how far to look")]
Minutes = Annotated[float, Field(gt=0, le=10_080, examples=[90])]
WINDOW = {"window": "weekly", "title": "Weekly maintenance", "start": "2026-11-22T02:00:00+00:00",
          "until": "2026-11-22T04:00:00+00:00", "state": "planned", "components": []}  # fmt: skip
SILENCE = {"id": "s261121-1213-k7qa", "checks": ["api-up"], "components": [], "reason": "known",
           "author": "ann", "until": "2026-11-21T18:00:00+00:00"}  # fmt: skip


class WindowOpened(Asked):
    """A window that somebody opens now."""

    window: str = Field(
        "by-hand",
        max_length=120,
        pattern=window_acts.NAMED,
        description="one of the book, or another name, of letters, digits, `-`, `_` and `.`",
        examples=["hotfix"],
    )
    minutes: Minutes | None = Field(None, description="how long; as the book says where left out")
    reason: Text = Field(min_length=1, examples=["the disk is exchanged"])
    components: tuple[Word, ...] = Field((), max_length=100, description="what is affected; none named: everything")


class Longer(Asked):
    """How much longer it lasts."""

    minutes: Minutes


class Closed(Asked):
    """What was done in it."""

    note: Text = ""


class Silenced(Asked):
    """Alerts that are known."""

    checks: tuple[Word, ...] = Field((), max_length=200, examples=[["api-up"]], description="ids or groups")
    components: tuple[Word, ...] = Field((), max_length=200)
    reason: Text = Field(min_length=1, examples=["the vendor repairs it"])
    until: AwareDatetime = Field(examples=["2026-11-21T18:00:00Z"])
    start: AwareDatetime | None = None


@router.get("/windows", responses=shown({"items": [WINDOW], "next": None}))
def windows(visit: Viewer, days: Days = 90, limit: Limit = 100, cursor: Cursor = "") -> Response:
    """The windows that are open and those that come, in the order of their starts."""
    after = place(cursor, float, str)
    with reading(visit.setting.store) as connection:
        some = coming(connection, visit.known, visit.setting.clock.now(), timedelta(days=days))
    told, following = part(some, limit, lambda one: (one.start.timestamp(), one.window), after)
    return page([one.as_json() for one in told], following)


@router.get("/windows.ics", responses=shown("BEGIN:VCALENDAR…", "a calendar", "text/calendar"))
def calendar(visit: Viewer, days: Days = 366) -> Response:
    """The windows to come as a calendar (RFC 5545)."""
    system, now = visit.known, visit.setting.clock.now()
    with reading(visit.setting.store) as connection:
        some = coming(connection, system, now, timedelta(days=days))
    return Response(as_ical(system, some, now), media_type="text/calendar; charset=utf-8")


@router.post("/windows", status_code=201, responses={201: {"description": "it is open"}})
async def open_window(visit: Operator, asked: WindowOpened) -> Response:
    """Open a window now. Alerts of what it affects are silent until it ends."""
    lasts = timedelta(minutes=asked.minutes) if asked.minutes else None
    wanted = window_acts.Wanted(asked.window, lasts, asked.reason, asked.components)
    row = await visit.write(lambda c, s, now: window_acts.open_now(c, s, visit.actor, wanted, now))
    return answer(_came(row), 201)


@router.post("/windows/{name}/extend", responses=shown(WINDOW))
async def extend(visit: Operator, name: InPath, asked: Longer) -> Response:
    """Let an open window last longer, and its silence with it."""
    by = timedelta(minutes=asked.minutes)
    return answer(_came(await visit.write(lambda c, s, now: window_acts.extend(c, s, visit.actor, name, by, now))))


@router.post("/windows/{name}/close", responses=shown(WINDOW))
async def close(visit: Operator, name: InPath, asked: Closed) -> Response:
    """Close an open window now. Its silence ends: what is still bad is told."""
    return answer(
        _came(await visit.write(lambda c, s, now: window_acts.finish(c, s, visit.actor, name, now, asked.note)))
    )


@router.get("/silences", responses=shown({"items": [SILENCE], "next": None}))
def all_silences(visit: Viewer, over: bool = False, limit: Limit = 100, cursor: Cursor = "") -> Response:
    """What is silent now or will be, what ends first at the beginning; with `over`, what was silent in the last 90 days
    too."""
    now, after = visit.setting.now(), place(cursor, float, str)
    with reading(visit.setting.store) as connection:
        some = (
            silenced.since(connection, visit.where, now - 90 * 86_400.0)
            if over
            else silenced.not_over(connection, visit.where, now)
        )
    told, following = part(some, limit, lambda one: (one.until, one.id), after)
    return page([silences.as_json(one, now) for one in told], following)


@router.post("/silences", status_code=201, responses={201: {"description": "it is silent"}})
async def silence(visit: Responder, asked: Silenced) -> Response:
    """Silence what is known, until a moment."""
    wanted = silences.Wanted(asked.checks, asked.components, asked.reason, asked.until, asked.start)
    made = await visit.write(lambda c, s, now: silences.make(c, s, visit.actor, wanted, now))
    return answer(silences.as_json(made, visit.setting.now()), 201)


@router.delete("/silences/{id}", responses=shown(SILENCE))
async def end(visit: Responder, id: InPath) -> Response:
    """End a silence now. What is still bad is told again."""
    ended = await visit.write(lambda c, s, now: silences.finish(c, s, visit.actor, id, now))
    return answer(silences.as_json(ended, visit.setting.now()))


def _came(row: Came) -> dict[str, Any]:
    moments = {name: datetime.fromtimestamp(getattr(row, name), UTC).isoformat() for name in ("start", "until")}
    return {"window": row.window, "title": row.title, "state": row.state, "components": list(row.components),
            "note": row.note, **moments}  # fmt: skip
