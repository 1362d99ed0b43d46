"""Answers: JSON with an ETag, pages with a cursor."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from opsbook.errors import UsageError

T = TypeVar("T")

JSON = "application/json"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
}
"""Headers of every answer; a route may set its own. No header lets another origin read (CORS)."""


def encoded(value: Any) -> bytes:
    """JSON. What is no valid text stays readable as its escape, and infinity is null: JSON has none."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=str, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, default=str, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The value as JSON."""
    return Response(encoded(value), status, dict(headers or {}), JSON)


def page(items: Sequence[Any], following: Sequence[Any] | None) -> Response:
    """Some of a list; `following` is where the next page begins, None where this is the last."""
    return answer({"items": list(items), "next": cursor(following) if following else None})


def cut(found: Sequence[T], limit: int, key: Callable[[T], Sequence[Any]]) -> tuple[Sequence[T], Sequence[Any] | None]:
    """Of one more than a page holds, the page, and where the next begins: after the `key` of its last one."""
    return found[:limit], key(found[limit - 1]) if len(found) > limit else None


def part(
    items: Sequence[T], limit: int, key: Callable[[T], Sequence[Any]], after: Sequence[Any] | None
) -> tuple[Sequence[T], Sequence[Any] | None]:
    """A page of a short list that is in the order of `key`, and where the next begins."""
    return cut([one for one in items if after is None or list(key(one)) > list(after)], limit, key)


def cursor(place: Sequence[Any]) -> str:
    """A place in a list, opaque to whoever gets it."""
    return base64.urlsafe_b64encode(json.dumps(list(place)).encode()).decode().rstrip("=")


def place(text: str, *kinds: type) -> list[Any] | None:
    """The place that a cursor stands for; None for none. Raises UsageError for one that no page gave."""
    if not text:
        return None
    try:
        found = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or [type(one) for one in found] != list(kinds):
        raise UsageError("that is no cursor", "give `next` of the page before, or none for the first page")
    if not all(_kept(one) for one in found):
        raise UsageError("that is no cursor", "give `next` of the page before, or none for the first page")
    return found


def _kept(one: str | int | float) -> bool:
    """Whether every store can have it: numbers of rows have 31 bits, and PostgreSQL keeps no NUL in a text."""
    if isinstance(one, str):
        return one.isprintable()
    return math.isfinite(one) if isinstance(one, float) else 0 <= one < 2**31


class Route(APIRoute):
    """A route whose reads have a weak ETag: the hash of what is answered."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def tagged(request: Request) -> Response:
            response = await handle(request)
            if request.method != "GET" or response.status_code != 200 or type(response) is not Response:
                return response
            tag = f'W/"{hashlib.sha256(bytes(response.body)).hexdigest()[:32]}"'
            if _holds(request.headers.get("If-None-Match", ""), tag):
                return Response(status_code=304, headers={"ETag": tag})
            response.headers["ETag"] = tag
            return response

        return tagged


def _holds(named: str, tag: str) -> bool:
    """Whether If-None-Match names the tag, by the weak comparison of RFC 9110, 8.8.3.2."""
    plain = tag.removeprefix("W/")
    return named.strip() == "*" or plain in (one.strip().removeprefix("W/") for one in named.split(","))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value
