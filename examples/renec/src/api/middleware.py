"""What happens around every request: faults that a demonstration switched on, then measuring and recording."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src import release
from src.api import metrics
from src.api.request_log import RequestLog
from src.switches import switch

log = logging.getLogger("src.api")

UNSPOILED = ("/metrics", "/version")
SLOW_SECONDS = 0.4
ERROR_SHARE = 0.3
UNKNOWN_ROUTE = "(none)"  # a label per unknown path would let any client grow the metrics without end


class Faults:
    """Delays and fails requests while `slow-api` or `api-errors` is thrown, or in a release built to."""

    def __init__(self, app: ASGIApp, switches: Path) -> None:
        self.app, self.switches = app, switches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNSPOILED:
            await self.app(scope, receive, send)
            return
        slow = switch(self.switches, "slow-api")
        if slow is not None or release.fault() == "slow":
            await asyncio.sleep((slow or {}).get("seconds", SLOW_SECONDS))
        errors = switch(self.switches, "api-errors")
        spoiled = errors is not None or release.fault() == "errors"
        if spoiled and scope["path"].startswith("/api/") and random.random() < (errors or {}).get("share", ERROR_SHARE):
            log.error("InjectedError: %s %s", scope["method"], scope["path"])
            await JSONResponse({"detail": "internal error"}, status_code=500)(scope, receive, send)
            return
        await self.app(scope, receive, send)


class Observed:
    """Counts, times and records every request by its route, method and status."""

    def __init__(self, app: ASGIApp, request_log: RequestLog) -> None:
        self.app, self.request_log = app, request_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500
        started = time.perf_counter()

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, note_status)
        finally:
            self.record(scope, status, time.perf_counter() - started)

    def record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", UNKNOWN_ROUTE)
        metrics.REQUESTS.labels(scope["method"], route, str(status)).inc()
        metrics.LATENCY.labels(scope["method"], route, str(status)).observe(seconds)
        if status >= 500:
            metrics.ERRORS.labels(route).inc()
        if route != "/metrics":
            self.request_log.add(row(scope, route, status, seconds))


def row(scope: Scope, route: str, status: int, seconds: float) -> dict[str, Any]:
    """The request as a row of api_logs. The query string stays out: it may hold what people searched for."""
    headers = dict(scope["headers"])
    address = scope.get("client") or ("", 0)
    return {
        "method": scope["method"],
        "route": route,
        "path": scope["path"][:500],
        "status": status,
        "duration_ms": round(seconds * 1000, 3),
        "client": headers.get(b"x-forwarded-for", str(address[0]).encode()).decode("latin-1")[:100],
        "release": release.version(),
        "created_at": datetime.now(UTC),
    }
