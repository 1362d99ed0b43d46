"""A run as it goes on: what the live view shows, as events `run`, `step` and `output`.

The id of an event is `OUTPUT.STATES`: the newest piece of output that was sent, and a hash of the states that were. So
a client that comes back is told just what it has not seen; nothing is kept for it here.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

from sse_starlette import ServerSentEvent

from opsbook.api.doors import Visit
from opsbook.api.streams import LOOK_SECONDS, event
from opsbook.engine.views import View, view_of
from opsbook.store.runs import output_of

AT_ONCE = 200


async def follow(visit: Visit, run: str, last: str) -> AsyncIterator[ServerSentEvent]:
    """All that happens to a run until it has ended."""
    sent, _, known = last.partition(".")
    after = int(sent or 0)
    told: dict[str, Any] = {}
    while True:
        view = await asyncio.to_thread(view_of, visit.setting.store, run)
        pieces = await asyncio.to_thread(output_of, visit.setting.store, run, after=after, limit=AT_ONCE)
        for row in pieces:
            after = row.id
            data = {"step": row.step, "start": row.start, "at": row.at, "text": row.text}
            yield event("output", f"{after}.{known}", data)
        now = _states(view)
        mark = _mark(now)
        if mark != known:
            for name, state in now.items():
                if told.get(name) != state:
                    yield event("step" if name else "run", f"{after}.{mark if not name else known}", state)
            told, known = now, mark
        if view.state.ended and len(pieces) < AT_ONCE:
            return
        yield ServerSentEvent()
        await asyncio.sleep(LOOK_SECONDS if len(pieces) < AT_ONCE else 0)


def _states(view: View) -> dict[str, Any]:
    """The state of each step that has begun, and last that of the run, under the empty name."""
    found: dict[str, Any] = {
        step.id: {"step": step.id, "title": step.title, "state": row.state, "message": row.message,
                  "started_at": row.started_at, "ended_at": row.ended_at}
        for step in view.procedure.steps if (row := view.steps.get(step.id))
    }  # fmt: skip
    run = view.run
    found[""] = {"run": run.id, "state": run.state, "message": run.message, "ended_at": run.ended_at}
    return found


def _mark(states: dict[str, Any]) -> str:
    return hashlib.sha256(repr(states).encode("utf-8", "surrogatepass")).hexdigest()[:12]
