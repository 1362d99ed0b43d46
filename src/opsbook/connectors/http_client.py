"""The one HTTP client: a bounded exchange with an address, its phases, and errors that say what to do."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.trust import client_context
from opsbook.connectors.turns import Places
from opsbook.errors import Unreachable, UsageError

if TYPE_CHECKING:
    import httpx

    from opsbook.connectors._http_wire import Phases, WireTransport

LONGEST_BODY = 2 * 2**20
"""Bytes of a body that are read; a health answer is far smaller, a page of metrics of a large service 1 MB."""
LONGEST_EXCHANGE = 120.0
"""Seconds after which nobody can be waiting any more, whatever the timeout of a check."""
AT_ONCE = 128
"""Exchanges that begin at once in one process; see `turns` for what happens behind slow ones."""


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    url: str
    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
    complete: bool
    """False where the body is longer than what is read of one."""
    seconds: float
    phases: Phases

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")

    @property
    def words(self) -> str:
        """`503 Service Unavailable`."""
        return f"{self.status} {self.reason}".strip()

    def json(self) -> Any:
        """Raises ReadFailed with what stands there instead."""
        if not self.complete:
            raise ReadFailed(
                f"{self.url} answers with more than {LONGEST_BODY // 2**20} MiB; only less is read as JSON"
            )
        try:
            return json.loads(self.body)
        except ValueError as error:
            start = self.text[:60].replace("\n", " ")
            raise ReadFailed(f"{self.url} does not answer with JSON but with {start!r}") from error


@dataclass(frozen=True)
class Trust:
    """How a server proves who it is."""

    ca: Path | None = None
    insecure: bool = False


class HttpClient:
    """Exchanges with one base URL over one kept connection. Opened by its first exchange."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        trust: Trust = Trust(),
        address: str = "",
        unix: str = "",
    ) -> None:
        self.url = url.rstrip("/")
        self._headers, self._trust, self._address, self._unix = dict(headers or {}), trust, address, unix
        self._client: httpx.AsyncClient | None = None
        self._one = Places(1)

    def transport(self, *, keep: bool = True) -> WireTransport:
        """A transport to the same server, for exchanges that want connections of their own."""
        from opsbook.connectors._http_wire import Target, WireTransport

        trust = self._trust
        return WireTransport(
            lambda: client_context(trust.ca, insecure=trust.insecure), Target(self._address, self._unix), keep=keep
        )

    def client(self, transport: WireTransport) -> httpx.AsyncClient:
        """An httpx client with the headers of this one."""
        import httpx

        headers = {"user-agent": "opsbook", "accept": "*/*", "accept-encoding": "identity", **self._headers}
        return httpx.AsyncClient(transport=transport, headers=headers, timeout=None, trust_env=False)  # noqa: S113  bounded by `exchange`

    def address_of(self, path: str) -> str:
        """The full URL of a path; a full URL stays what it is."""
        if path.startswith(("http://", "https://")):
            return path
        return self.url + ("" if not path or path.startswith(("/", "?")) else "/") + path

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET over the kept connection. Redirects are not followed: where a health page points elsewhere, that is the
        answer."""
        return await self.send("GET", path, headers=headers)

    async def send(
        self, method: str, path: str, content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One exchange over the kept connection. Raises Unreachable."""
        if self._client is None:
            self._client = self.client(self.transport())
        # One connection serves all questions, unless one of them hangs.
        async with _begin().turn(1.0), self._one.turn(0.25):
            return await exchange(self._client, method, self.address_of(path), content, headers)

    async def anew(
        self, method: str, path: str, content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One exchange over a connection of its own: a balancer chooses a server for it anew. Raises Unreachable."""
        client = self.client(self.transport(keep=False))
        try:
            async with _begin().turn(1.0):
                return await exchange(client, method, self.address_of(path), content, headers)
        finally:
            await client.aclose()

    async def close(self) -> None:
        """Closes the kept connection; the next exchange opens another."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def what_is_wrong(url: str) -> str:
    """Why this is no address of a web server, without telling what it is; empty where it is one."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # asking for it tells whether it can be one
    except ValueError as error:
        return unreadable(error)
    if parts.scheme not in ("http", "https"):
        return "it does not begin with http:// or https://"
    if not host or any(one.isspace() or not one.isprintable() for one in host):
        return "it has no host"
    return ""


def unreadable(error: ValueError) -> str:
    """Why an address could not be taken apart, without the part of it that Python quotes."""
    return "its port is not 0 to 65535" if str(error).startswith("Port") else "it cannot be read"


async def exchange(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    longest: int = LONGEST_BODY,
) -> Answer:
    """One request and its bounded answer. Raises Unreachable; UsageError for what is not a URL."""
    import httpx

    if wrong := what_is_wrong(url):
        # Not what it is instead: the value of a reference may be no address, but it may be a secret.
        raise UsageError(f"its `url` is not an address: {wrong}", "write http://host:port or https://host")
    started = time.perf_counter()
    try:
        async with (
            asyncio.timeout(LONGEST_EXCHANGE),
            client.stream(method, url, content=content, headers=headers) as response,
        ):
            body, complete = await _read(response, longest)
    except TimeoutError as error:
        raise Unreachable(f"{url} did not answer within {LONGEST_EXCHANGE:g} s", "look at its server") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise UsageError("its `url` is not an address", "write http://host:port or https://host") from error
    except httpx.HTTPError as error:
        raise ReadFailed(f"{url}: {error or type(error).__name__}") from error
    return Answer(url, response.status_code, response.reason_phrase, response.headers, body, complete,
                  time.perf_counter() - started, response.extensions["phases"])  # fmt: skip


async def _read(response: httpx.Response, longest: int) -> tuple[bytes, bool]:
    parts, size = [], 0
    async for part in response.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > longest:
            return b"".join(parts)[:longest], False
    return b"".join(parts), True


_beginners: dict[asyncio.AbstractEventLoop, Places] = {}


def _begin() -> Places:
    """Shared by all components of this event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _beginners:
        _beginners.clear()  # a loop of before has ended
        _beginners[loop] = Places(AT_ONCE)
    return _beginners[loop]
