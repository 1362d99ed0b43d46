"""Streams of server-sent events: how many may be open, and that they end when whoever listens may no longer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from opsbook.api.answers import encoded
from opsbook.api.callers import caller
from opsbook.api.doors import RECENT, Door, Visit, address_of, let_in
from opsbook.api.problems import TooMany
from opsbook.errors import OpsbookError

ASKED_AGAIN = 15.0
"""Seconds after which it is asked again whether who listens may still do so."""
LOOK_SECONDS = 0.5
"""How often a stream looks at the store."""
BEAT_SECONDS = 15
RETRY_MILLISECONDS = 2000

_open: Counter[str] = Counter()


def event(name: str, id: str, data: Any) -> ServerSentEvent:
    """One event with its data as JSON."""
    return ServerSentEvent(encoded(data).decode(), event=name, id=id, retry=RETRY_MILLISECONDS)


def open_stream(
    request: Request, visit: Visit, scope: str, events: AsyncIterator[ServerSentEvent]
) -> EventSourceResponse:
    """The answer that sends these events. Raises TooMany where too many are open."""
    limits = visit.house.limits
    if _open.total() >= limits.streams or _open[visit.caller.key] >= limits.streams_each:
        raise TooMany(BEAT_SECONDS)
    return EventSourceResponse(
        _watched(request, visit, scope, events), ping=BEAT_SECONDS, headers={"Cache-Control": "no-store"}
    )


async def _watched(
    request: Request, visit: Visit, scope: str, events: AsyncIterator[ServerSentEvent]
) -> AsyncIterator[ServerSentEvent]:
    clock, key = visit.setting.clock, visit.caller.key
    _open[key] += 1
    asked = clock.monotonic()
    try:
        async for one in events:
            if visit.house.closing:
                return
            if clock.monotonic() - asked > ASKED_AGAIN:
                asked = clock.monotonic()
                await asyncio.to_thread(_still, request, visit, scope)
            if one.event or one.data:
                yield one
    except OpsbookError as error:
        yield event("problem", "", {"detail": error.message, "hint": error.hint})
    finally:
        _open[key] -= 1
        if not _open[key]:
            del _open[key]


def _still(request: Request, visit: Visit, scope: str) -> None:
    """Raises Denied where the token was revoked or has expired meanwhile."""
    asks = caller(visit.house, request.headers.get("Authorization", ""), address_of(request), RECENT)
    let_in(visit.house, asks, Door(visit.role, scope), visit.environment)
