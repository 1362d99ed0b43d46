"""The wire under the one HTTP client: an httpx transport that speaks HTTP/1.1 with h11 over asyncio's own streams.

Loaded with the first exchange, because importing httpx takes its time. It measures the phases of every exchange, tries
every address of a name, keeps at most one idle connection, and costs a fourth of the CPU of httpx's default transport,
which matters where hundreds of endpoints are asked each minute.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import h11
import httpx

from opsbook.connectors.names import addresses, connect_to, literal, system_words
from opsbook.errors import Unreachable

IDLE_SECONDS = 1.0
"""Servers close idle connections after 2 s (gunicorn) or 5 s (uvicorn); a connection is not reused near that moment."""
READ_BYTES = 65536


@dataclass
class Phases:
    """Where the time of one exchange went, in seconds; zero where a phase did not happen."""

    dns: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    first_byte: float = 0.0
    """From the request sent to the first byte of the answer."""


@dataclass(frozen=True)
class Target:
    """Where the bytes go, whatever the URL says: another address for the name, or a unix socket."""

    address: str = ""
    unix: str = ""


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=256 * 1024)
        self.used = time.monotonic()

    @property
    def reusable(self) -> bool:
        """Whether the server still holds it, as far as can be known."""
        fresh = time.monotonic() - self.used < IDLE_SECONDS
        return fresh and not self.reader.at_eof() and not self.writer.is_closing()

    def send(self, *events: h11.Request | h11.Data | h11.EndOfMessage) -> None:
        """Put a request on the wire in one piece."""
        self.writer.write(b"".join(self.h11.send(event) or b"" for event in events))

    async def event(self) -> object:
        """The next part of the answer."""
        while True:
            found = self.h11.next_event()
            if found is not h11.NEED_DATA:
                return found
            self.h11.receive_data(await self.reader.read(READ_BYTES))

    def close(self) -> None:
        self.writer.transport.abort() if self.writer.is_closing() else self.writer.close()


class WireTransport(httpx.AsyncBaseTransport):
    """Sends requests of one component. `keep` says whether an idle connection is kept for the next request."""

    def __init__(
        self,
        trust: Callable[[], ssl.SSLContext],
        target: Target = Target(),
        *,
        keep: bool = True,
    ) -> None:
        self._trust, self._target, self._keep = trust, target, keep
        self._idle: dict[tuple[str, int], Wire] = {}
        self.opened = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises Unreachable with the system's or the peer's own words."""
        phases = Phases()
        url = request.url
        place = (url.host, url.port or (443 if url.scheme == "https" else 80))
        body = await request.aread()
        wire = self._idle.pop(place, None)
        if wire is None or not wire.reusable:
            if wire is not None:
                wire.close()
            wire = await self._open(url.scheme == "https", *place, phases)
        try:
            answer = await _exchange(wire, request, body, phases)
        except BaseException as error:
            wire.close()
            if isinstance(error, (OSError, h11.ProtocolError)):
                raise broken(place, error) from error
            raise
        stream = Body(wire, lambda: self._settle(place, wire), place)
        return httpx.Response(answer.status_code, headers=answer.headers.raw_items(), stream=stream,
                              extensions={"phases": phases, "reason_phrase": bytes(answer.reason)})  # fmt: skip

    def _settle(self, place: tuple[str, int], wire: Wire) -> None:
        """The answer has been read, or nobody wants the rest of it."""
        if self._keep and wire.h11.our_state is h11.DONE and wire.h11.their_state is h11.DONE:
            wire.h11.start_next_cycle()
            wire.used = time.monotonic()
            if previous := self._idle.pop(place, None):
                previous.close()
            self._idle[place] = wire
        else:
            wire.close()

    async def _open(self, encrypted: bool, host: str, port: int, phases: Phases) -> Wire:
        self.opened += 1
        started = time.perf_counter()
        if self._target.unix:
            try:
                pair = await asyncio.open_unix_connection(self._target.unix)
            except OSError as error:
                raise Unreachable(
                    f"the socket {self._target.unix} does not answer: {system_words(error)}",
                    "is the server that owns it running, and may this user open it?",
                ) from error
            phases.connect = time.perf_counter() - started
            return Wire(*pair)
        found = await addresses(self._target.address or host)
        resolved = time.perf_counter()
        if not literal(self._target.address or host):
            phases.dns = resolved - started
        sock, _ = await connect_to(found, host, port)
        connected = time.perf_counter()
        phases.connect = connected - resolved
        wire = await _wrap(sock, self._trust() if encrypted else None, host, port)
        if encrypted:
            phases.tls = time.perf_counter() - connected
        return wire

    async def aclose(self) -> None:
        for wire in self._idle.values():
            wire.close()
        self._idle.clear()


class Body(httpx.AsyncByteStream):
    """The body of one answer; closing it early closes the connection."""

    def __init__(self, wire: Wire, settle: Callable[[], None], place: tuple[str, int]) -> None:
        self._wire, self._settle, self._place = wire, settle, place
        self._open = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while isinstance(event := await self._wire.event(), h11.Data):
                yield bytes(event.data)
        except (OSError, h11.ProtocolError) as error:
            raise broken(self._place, error) from error

    async def aclose(self) -> None:
        if self._open:
            self._open = False
            self._settle()


def broken(place: tuple[str, int], error: BaseException) -> Unreachable:
    """What it means that an exchange broke off."""
    words = system_words(error) if isinstance(error, OSError) else str(error)
    return Unreachable(f"{place[0]}:{place[1]} broke the exchange off: {words}", "look at the log of its server")


async def _exchange(wire: Wire, request: httpx.Request, body: bytes, phases: Phases) -> h11.Response:
    head = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
    started = time.perf_counter()
    wire.send(head, *([h11.Data(body)] if body else []), h11.EndOfMessage())
    while True:
        event = await wire.event()
        if not isinstance(event, h11.InformationalResponse):
            break
    phases.first_byte = time.perf_counter() - started
    if not isinstance(event, h11.Response):
        raise h11.RemoteProtocolError("it closed the connection without an answer")
    return event


async def _wrap(sock: socket.socket, context: ssl.SSLContext | None, host: str, port: int) -> Wire:
    where = f"{host}:{port}"
    try:
        return Wire(*await asyncio.open_connection(sock=sock, ssl=context, server_hostname=host if context else None))
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(
            f"{where}: its certificate is not accepted: {error.verify_message}",
            "look at it with the tls observations; name its CA with `ca` where it is a private one",
        ) from error
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise Unreachable(
            f"{where}: no TLS session could be made: {reason}", "does the server speak TLS on this port?"
        ) from error
    except BaseException:
        sock.close()
        raise
