"""Serving: never the network to nobody, a port that is free, and an end when it is told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Request
from sse_starlette import ServerSentEvent
from tests.unit.api.conftest import BOOK, Doors

from opsbook.api import streams
from opsbook.api.callers import Recent, caller
from opsbook.api.doors import Visit
from opsbook.api.house import Limits
from opsbook.api.problems import TooMany
from opsbook.api.server import must_be_guarded, serve_http
from opsbook.api.tokens import find, revoke
from opsbook.engine.access import Actor
from opsbook.errors import OpsbookError, UsageError


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "opsbook.example"])
def test_the_network_is_not_served_while_nobody_could_say_who_they_are(
    open_doors: Callable[..., Doors], host: str
) -> None:
    doors = open_doors()
    watch = doors.house.watch
    with pytest.raises(UsageError, match="nobody has a token"):
        must_be_guarded(watch, host)
    for local in ("127.0.0.1", "127.0.0.5", "::1", "localhost"):
        must_be_guarded(watch, local)
    doors.token("ann", "viewer", days=2)
    must_be_guarded(watch, host)
    doors.clock.move(3 * 86_400)
    with pytest.raises(UsageError):
        must_be_guarded(watch, host)
    provided = open_doors(BOOK.replace("access:", "access:\n  oidc: {issuer: 'https://login.example', client_id: o}"))
    must_be_guarded(provided.house.watch, host)


async def test_it_serves_until_it_is_told_to_end(doors: Doors) -> None:
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve_http(doors.house.watch, port=0, stop=stop, ready=ready.set_result))
    port = await ready
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/healthz")).json() == {"alive": True}
        assert (await client.get("/healthz", headers={"Host": "evil.example"})).status_code == 421
        assert (await client.get("/api/v1/checks")).status_code == 401
    stop.set()
    await serving
    with socket.socket() as again:
        assert again.connect_ex(("127.0.0.1", port)) != 0


async def test_a_port_that_is_taken_is_said(doors: Doors) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OpsbookError, match=f"127.0.0.1:{port}: Address already in use"):
            await serve_http(doors.house.watch, port=port)


async def test_a_certificate_that_cannot_serve_is_said(doors: Doors, tmp_path: Path) -> None:
    broken = tmp_path / "chain.pem"
    broken.write_text("no certificate")
    with pytest.raises(UsageError, match="cannot serve HTTPS"):
        await serve_http(doors.house.watch, port=0, certificate=broken, key=broken)
    with pytest.raises(UsageError, match="without its certificate"):
        await serve_http(doors.house.watch, port=0, key=broken)


async def test_behind_a_proxy_it_answers_under_the_name_that_it_was_given(doors: Doors) -> None:
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve_http(doors.house.watch, port=0, names=("Ops.example",), stop=stop, ready=ready.set_result)
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{await ready}") as client:
        for name, code in (("ops.example", 200), ("OPS.EXAMPLE:443", 200), ("127.0.0.1", 200), ("other.example", 421)):
            assert (await client.get("/healthz", headers={"Host": name})).status_code == code, name
    stop.set()
    await serving


def visiting(doors: Doors, token: str) -> tuple[Request, Visit]:
    header = f"Bearer {token}"
    scope: dict[str, Any] = {"type": "http", "headers": [(b"authorization", header.encode())], "client": ("x", 1)}
    return Request(scope), Visit(doors.house, caller(doors.house, header, "x", Recent()), "production", "viewer")


async def forever() -> AsyncIterator[ServerSentEvent]:
    while True:
        yield streams.event("result", "1", {})


async def test_a_stream_ends_when_its_token_does(doors: Doors) -> None:
    token = doors.token("ann", "viewer")
    request, visit = visiting(doors, token)
    stream = streams._watched(request, visit, "checks", forever())
    assert (await anext(stream)).event == "result"
    access, cleo = visit.known.model.access, Actor("cleo", "test", groups=frozenset())
    revoke(doors.setting, access, cleo, find(doors.setting, token.split("_")[1]).id)
    assert (await anext(stream)).event == "result"
    doors.clock.move(streams.ASKED_AGAIN + 1)
    last = await anext(stream)
    assert last.event == "problem" and "revoked" in str(last.data)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert not streams._open


async def test_only_so_many_streams_are_open(open_doors: Callable[..., Doors]) -> None:
    doors = open_doors(limits=Limits(streams_each=1))
    request, visit = visiting(doors, doors.token("ann", "viewer"))
    stream = streams._watched(request, visit, "checks", forever())
    await anext(stream)
    with pytest.raises(TooMany):
        streams.open_stream(request, visit, "checks", forever())
    await stream.aclose()
    streams.open_stream(request, visit, "checks", forever())
