"""The API application."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from redis import Redis
from sqlalchemy.exc import SQLAlchemyError

from src import release
from src.api import health, metrics, register, stats, triggers
from src.api.figures import HarvestFigures
from src.api.middleware import Faults, Observed
from src.api.request_log import RequestLog
from src.cache import TIMEOUT_SECONDS
from src.db import engine
from src.settings import settings

log = logging.getLogger("src.api")

CONFIGURATION = settings()
BROKER = Redis.from_url(
    CONFIGURATION.broker_url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
)
FIGURES = HarvestFigures(CONFIGURATION, engine(), BROKER)
REQUEST_LOG = RequestLog(engine())


@contextlib.asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Keeps the request log flowing; at the end the last rows are written and the live gauges removed."""
    metrics.forget_dead_processes(CONFIGURATION.metrics_dir)
    metrics.POOL_SIZE.set(CONFIGURATION.database_pool_size)
    metrics.RELEASE.labels(release.version()).set(1)
    writer = asyncio.create_task(REQUEST_LOG.run())
    yield
    writer.cancel()
    if REQUEST_LOG.waiting:
        await asyncio.to_thread(REQUEST_LOG.flush)
    metrics.forget_this_process()


app = FastAPI(title="RENEC Harvester", version=release.version(), lifespan=lifespan)
for part in (health, register, stats, triggers):
    app.include_router(part.router)
app.add_middleware(Faults, switches=CONFIGURATION.switches_dir)
app.add_middleware(Observed, request_log=REQUEST_LOG)


@app.exception_handler(SQLAlchemyError)
def database_away(request: Request, error: SQLAlchemyError) -> JSONResponse:
    """The database does not answer, or has no connection to give: the client may try again."""
    log.error("%s: %s %s", type(error).__name__, request.method, request.url.path)
    return JSONResponse({"detail": "the database does not answer"}, status_code=503, headers={"Retry-After": "5"})


@app.get("/metrics", include_in_schema=False)
def exposition() -> Response:
    return Response(metrics.exposition(FIGURES), media_type="text/plain; version=0.0.4; charset=utf-8")
