"""Starting a harvest over the API: for the holders of the admin token alone."""

from __future__ import annotations

import hmac
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, HTTPException

from src.settings import settings

router = APIRouter(prefix="/api/v1")

TASKS = {
    "probe": "src.scheduler.daily_probe.trigger_harvest",
    "full": "src.scheduler.daily_probe.full_harvest",
}


def admin(authorization: Annotated[str, Header()] = "") -> None:
    """401 without a known token, 403 with one that may only read."""
    token = authorization.removeprefix("Bearer ").encode()
    if hmac.compare_digest(token, settings().admin_token.encode()):
        return
    if hmac.compare_digest(token, settings().reader_token.encode()):
        raise HTTPException(403, "this token may only read")
    raise HTTPException(401, "a token is needed", {"WWW-Authenticate": "Bearer"})


@router.post("/harvests", status_code=202, dependencies=[Depends(admin)])
def start_harvest(mode: Literal["full", "probe"] = "probe") -> dict[str, str]:
    """Queue a harvest; its id is that of the Celery task."""
    from src.scheduler.daily_probe import app  # imports Celery, which no other request needs

    return {"task_id": app.send_task(TASKS[mode]).id}
