"""What jobs say of themselves: `POST /ping/ID` when one is done, `/start` and `/fail` around it.

ID is what `opsbook token ping JOB` prints; it proves itself. Or it is the job's name, sent with a token. The body is
the job's log, of which the end is kept.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Request
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from opsbook.api.answers import answer
from opsbook.api.callers import caller
from opsbook.api.doors import RECENT, Door, address_of, by_link, let_in, shown, subject
from opsbook.api.house import House
from opsbook.api.parameters import InPath
from opsbook.api.pings import job_of
from opsbook.api.problems import NotFound, TooMany
from opsbook.watch.beats import Kind, record_beat, reporting_jobs
from opsbook.watch.links import link_key

router = subject("ping", prefix="/ping")
WHY = "the id cannot be guessed: it is signed; or a token comes with it"
Anybody = Annotated[House, by_link(WHY)]
RATE = (1.0, 20.0)
"""Beats a second of one job, and how many it may save up."""
HEARD: dict[Any, Any] = {
    **shown({"job": "nightly-export", "kind": "success", "seconds": 12.5}, "heard"),
    404: {"description": "there is no such job"},
}
BODY = {"requestBody": {"required": False, "content": {"text/plain": {"schema": {"type": "string"}}}}}


@router.post("/{id}", responses=HEARD, openapi_extra=BODY)
async def success(request: Request, house: Anybody, id: InPath) -> Response:
    """The job is done."""
    return await _heard(request, house, id, "success", None)


@router.post("/{id}/start", responses=HEARD, openapi_extra=BODY)
async def start(request: Request, house: Anybody, id: InPath) -> Response:
    """The job begins; what it then takes is measured."""
    return await _heard(request, house, id, "start", None)


@router.post("/{id}/fail", responses=HEARD, openapi_extra=BODY)
async def fail(request: Request, house: Anybody, id: InPath) -> Response:
    """The job has failed."""
    return await _heard(request, house, id, "failure", None)


@router.post("/{id}/log", responses=HEARD, openapi_extra=BODY)
async def log(request: Request, house: Anybody, id: InPath) -> Response:
    """Something to keep of it, without a verdict."""
    return await _heard(request, house, id, "log", None)


@router.post("/{id}/{code}", responses=HEARD, openapi_extra=BODY)
async def ended(
    request: Request, house: Anybody, id: InPath, code: Annotated[int, Path(ge=0, le=255, description="its exit code")]
) -> Response:
    """The job has ended with this code: 0 is well, any other a failure."""
    return await _heard(request, house, id, "success", code)


async def _heard(request: Request, house: House, id: str, kind: Kind, code: int | None) -> Response:
    job, who = await run_in_threadpool(_job, request, house, id)
    if wait := house.rates.wait(f"job {job}", *RATE):
        raise TooMany(wait)
    # What PostgreSQL cannot keep in a text is left out.
    text = (await request.body()).decode("utf-8", "replace").replace("\0", "")
    setting, where = house.watch.setting, house.watch.where

    def write() -> dict[str, Any]:
        kept: list[Any] = []

        def keep(connection: Connection) -> None:
            kept.append(record_beat(connection, where, job, kind, code, text, setting.clock.now(), who))

        setting.write([keep])
        return {"job": job, "kind": kept[0].kind, "seconds": kept[0].seconds}

    return answer(await house.act(write))


def _job(request: Request, house: House, id: str) -> tuple[str, str]:
    """The job that is meant, and who speaks for it. Blocking. Raises NotFound, or Denied."""
    address = address_of(request)
    if authorization := request.headers.get("Authorization", ""):
        asks = caller(house, authorization, address, RECENT)
        let_in(house, asks, Door("responder", "ping"))
        job, who = id, asks.actor.origin
    else:
        job, who = _signed(house, id), address
    if job not in {one.id for one in reporting_jobs(house.watch)}:
        raise NotFound("there is no such job", "`opsbook token ping JOB` prints the address of one")
    return job, who


def _signed(house: House, id: str) -> str:
    where = house.watch.where
    return job_of(link_key(house.watch.setting.folder), where["system"], where["environment"], id) or ""
