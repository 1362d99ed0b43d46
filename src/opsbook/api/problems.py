"""Errors as problem details (RFC 9457): what happened, and what to do next. No answer tells of the inside."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from opsbook.api.answers import HEADERS, encoded
from opsbook.book.load import InvalidBook
from opsbook.errors import Absent, Ambiguous, OpsbookError, Refused, Unreachable, UsageError
from opsbook.store.audit_head import HeadFailed
from opsbook.store.database import StoreFailed

log = logging.getLogger(__name__)

PROBLEM = "application/problem+json"
MOST_MISTAKES = 20
"""Mistakes of one request that are told."""


class Denied(OpsbookError):
    """Whoever asks may not. `challenge` where they have not said who they are."""

    exit_code = 4

    def __init__(self, message: str, hint: str = "", *, challenge: bool = False) -> None:
        super().__init__(message, hint)
        self.challenge = challenge


class NotFound(UsageError):
    """There is nothing of this name, or it is not for whoever asks."""


class TooMany(OpsbookError):
    """More requests than one asker may make. `wait` is in seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__("too many requests", f"wait {max(1, round(wait))} s")
        self.wait = wait


STATUS: tuple[tuple[type[OpsbookError], str, int], ...] = (
    (NotFound, "not-found", 404),
    (Absent, "not-found", 404),
    (TooMany, "too-many-requests", 429),
    (InvalidBook, "invalid-book", 503),
    (StoreFailed, "store-failed", 503),
    (HeadFailed, "audit-failed", 503),
    (Refused, "refused", 409),
    (Ambiguous, "ambiguous", 409),
    (UsageError, "invalid-request", 400),
    (Unreachable, "unreachable", 502),
    (OpsbookError, "could-not", 502),
)
"""Error → the end of its problem's type, and its status; the first that fits. A conflict is what policy or a guard
refuses: with another plan, approval or window the same request may be well."""


def problem(
    status: int,
    kind: str,
    detail: str,
    hint: str = "",
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """An answer of RFC 9457. `hint` is the next step, in the imperative."""
    body = {"type": f"urn:opsbook:problem:{kind}", "title": HTTPStatus(status).phrase, "status": status,
            "detail": detail, **({"hint": hint} if hint else {}), **more}  # fmt: skip
    return Response(encoded(body), status, dict(headers or {}), PROBLEM)


def told(error: OpsbookError) -> Response:
    """The problem that an error is."""
    if isinstance(error, Denied):
        if error.challenge:
            return problem(401, "unauthenticated", error.message, error.hint, {"WWW-Authenticate": "Bearer"})
        return problem(403, "forbidden", error.message, error.hint)
    kind, status = next((kind, status) for known, kind, status in STATUS if isinstance(error, known))
    headers = {"Retry-After": str(max(1, round(error.wait)))} if isinstance(error, TooMany) else {}
    return problem(status, kind, error.message, error.hint, headers, exit_code=error.exit_code)


def tell_problems(app: FastAPI) -> None:
    """Let every error of the app be a problem."""

    async def known(_: Request, error: Exception) -> Response:
        assert isinstance(error, OpsbookError)
        return told(error)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        # What was sent is not told back: it may be a secret.
        found = [
            {"at": "/".join(map(str, one["loc"]))[:200], "message": one["msg"][:200]}
            for one in error.errors()[:MOST_MISTAKES]
        ]
        return problem(422, "invalid-request", "the request is not as it should be", "see `mistakes`", mistakes=found)

    async def http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = "not-found" if error.status_code == 404 else "invalid-request"
        hint = "/api/v1/openapi.json lists what there is; the status page is at /status" if kind == "not-found" else ""
        return problem(error.status_code, kind, HTTPStatus(error.status_code).phrase, hint, error.headers)

    async def fault(request: Request, error: Exception) -> Response:
        # The edge: what is wrong with opsbook itself is told in its log alone.
        number = secrets.token_hex(4)
        log.error("fault %s at %s %s", number, request.method, request.url.path, exc_info=error)
        return problem(
            500, "fault", "a fault of opsbook itself", f"look for fault {number} in its log", HEADERS, fault=number
        )

    app.add_exception_handler(OpsbookError, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, fault)
