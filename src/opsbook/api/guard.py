"""What every request passes before any route: the Host header, the size of its body, how often one address asks."""

from __future__ import annotations

import contextlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opsbook.api.answers import HEADERS
from opsbook.api.house import House
from opsbook.api.problems import TooMany, problem, told

LARGE = ("/api/v1/alertmanager", "/ping/")


class TooLarge(Exception):
    """A body went on beyond what it may be."""


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, house: House) -> None:
        self.app, self.house = app, house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sender = _with_headers(send)
        headers = Headers(scope=scope)
        if self.house.hosts and _host(headers.get("host", "")) not in self.house.hosts:
            answer = problem(421, "wrong-host", "opsbook does not answer under this name", "use the name it serves")
            await answer(scope, receive, sender)
            return
        address = scope["client"][0] if scope.get("client") else "unknown"
        if wait := self.house.rates.wait(f"address {address}", *self.house.limits.address):
            await told(TooMany(wait))(scope, receive, sender)
            return
        limits = self.house.limits
        most = limits.large_body if scope["path"].startswith(LARGE) else limits.body
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length[:20]) > most:
            await _too_large(most)(scope, receive, sender)
            return
        await self._bounded(scope, receive, sender, most)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send, most: int) -> None:
        """A body without a length is counted as it comes."""
        got, began = 0, False

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b"")) if message["type"] == "http.request" else 0
            if got > most:
                raise TooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal began
            # What the app makes of a body that was cut off is not told.
            if began or got <= most:
                began = True
                await send(message)

        with contextlib.suppress(TooLarge):
            await self.app(scope, counted, noted)
        if got > most and not began:
            await _too_large(most)(scope, receive, send)


def _too_large(most: int) -> ASGIApp:
    return problem(413, "too-large", f"a body may have {most:,} bytes", "send less")


def _host(header: str) -> str:
    """The name in a Host header, without its port."""
    if header.startswith("["):
        return header.partition("]")[0].removeprefix("[").lower()
    return header.partition(":")[0].rstrip(".").lower()


def _with_headers(send: Send) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sender
