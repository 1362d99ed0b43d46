"""Serving the API from the loop of `opsbook serve`: uvicorn without signal handlers of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import uvicorn

from opsbook.api.app import make_app
from opsbook.api.house import House, Limits
from opsbook.api.oidc import loopback
from opsbook.errors import OpsbookError, UsageError
from opsbook.store.database import reading
from opsbook.store.tokens import any_alive
from opsbook.watch.contract import Part, Watch

log = logging.getLogger(__name__)

PORT = 8340
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
CLOSING_SECONDS = 5
"""How long open requests may go on when the server ends; streams never end by themselves."""
CONNECTIONS = 1000


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Whoever serves decides when it ends.
        yield


async def serve_http(
    watch: Watch,
    parts: Sequence[Part] = (),
    host: str = "127.0.0.1",
    port: int = PORT,
    *,
    names: tuple[str, ...] = (),
    certificate: Path | None = None,
    key: Path | None = None,
    stop: asyncio.Event | None = None,
    ready: Callable[[int], object] | None = None,
    limits: Limits | None = None,
) -> None:
    """Serve until `stop` is set, or the task is cancelled. Port 0 takes a free one; `ready` is told which.

    `names` are host names under which it answers besides the local ones; off loopback, none given is any. Raises
    UsageError where it would serve the network without authentication, OpsbookError for a port that is taken.
    """
    must_be_guarded(watch, host)
    hosts = LOCAL_NAMES | {host.lower()} | {name.lower() for name in names} if loopback(host) or names else frozenset()
    house = House(watch, hosts, limits or Limits(), parts=parts)
    with contextlib.closing(_bound(host, port)) as bound:
        server = _Server(_config(house, certificate, key))
        serving = asyncio.create_task(server.serve(sockets=[bound]), name="http")
        try:
            while not server.started and not serving.done():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            if server.started:
                taken = bound.getsockname()[1]
                scheme = "https" if certificate else "http"
                log.info("serves %s://%s:%d", scheme, f"[{host}]" if ":" in host else host, taken)
                if ready is not None:
                    ready(taken)
            await _either(serving, stop)
        finally:
            house.closing = server.should_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await serving


def must_be_guarded(watch: Watch, host: str) -> None:
    """Raises UsageError for an address that others reach while nobody could say who they are."""
    if loopback(host) or watch.system.model.access.oidc is not None:
        return
    with reading(watch.setting.store) as connection:
        if any_alive(connection, watch.setting.now()):
            return
    raise UsageError(
        f"{host} is reached by others, and nobody has a token",
        "`opsbook token make NAME` first, or set `access.oidc` of the book, or serve 127.0.0.1",
    )


async def _either(serving: asyncio.Task[None], stop: asyncio.Event | None) -> None:
    if stop is None:
        await asyncio.shield(serving)
        return
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([serving, stopped], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()


def _config(house: House, certificate: Path | None, key: Path | None) -> uvicorn.Config:
    if key is not None and certificate is None:
        raise UsageError("a key without its certificate serves nothing", "give --certificate too")
    config = uvicorn.Config(
        make_app(house),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # A header could name any address; who stands behind a proxy is known by the token.
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=CLOSING_SECONDS,
        ws="none",
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    try:
        config.load()
    except OSError as error:
        raise UsageError(
            f"{certificate} cannot serve HTTPS: {error.strerror or error}", "give a PEM chain and the key that fits"
        ) from error
    return config


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise OpsbookError(f"{host}:{port}: {error.strerror}", "end what uses it, or name another port") from error
    bound.setblocking(False)
    return bound
