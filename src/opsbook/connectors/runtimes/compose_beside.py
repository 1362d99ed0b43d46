"""A container beside a service, as `compose run` makes one: its only process waits."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from opsbook.connectors.change import ChangeFailed, Sink
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.runtimes import compose_create
from opsbook.connectors.runtimes.beside import ERRORS, OUT, WAITING, Beside, Hear, several
from opsbook.connectors.runtimes.compose_api import ApiFault, NotThere, told
from opsbook.connectors.runtimes.compose_make import Maker
from opsbook.connectors.runtimes.compose_once import KEY, config_of, named_for, removed
from opsbook.connectors.runtimes.contract import Unsupported
from opsbook.connectors.runtimes.once import Once
from opsbook.errors import OpsbookError, Refused

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.compose import Compose

LOOPBACK = "127.0.0.1"
WAITING_PIECES = 64
"""Pieces of output that wait for their reader; then the command waits."""


class _Container:
    """The container, once it runs."""

    def __init__(self, compose: Compose, name: str) -> None:
        self._compose, self._name = compose, name

    async def talk(self, argv: Sequence[str], given: bytes, hear: Hear) -> tuple[int | None, str]:
        api = self._compose.api
        try:
            made = await api.call("exec_create", self._name, list(argv), stdin=bool(given))
            await _heard(self._compose, made["Id"], given, hear)
            return (await api.call("exec_inspect", made["Id"])).get("ExitCode"), "it was cut off"
        except ApiFault as error:
            return None, error.message

    async def address(self, port: int) -> tuple[str, int]:
        """A published port of loopback; the container's own address in a network that publishes none."""
        now = await self._compose.api.call("inspect_container", self._name)
        if now["HostConfig"].get("NetworkMode") == "host":
            return LOOPBACK, port
        published = (now["NetworkSettings"].get("Ports") or {}).get(f"{port}/tcp")
        if published:
            return LOOPBACK, int(published[0]["HostPort"])
        networks = (now["NetworkSettings"].get("Networks") or {}).values()
        found = next((one["IPAddress"] for one in networks if one.get("IPAddress")), "")
        if not found:
            raise ChangeFailed(f"{self._name} has no address", "is its service in a network?")
        return found, port


@asynccontextmanager
async def made(compose: Compose, wanted: Beside, out: Sink) -> AsyncIterator[_Container]:
    """See `beside.beside`."""
    name = named_for(compose, wanted.name)
    if wanted.ports and compose.api.host.startswith(("tcp", "ssh")):
        raise Unsupported("the container engine is on another host, whose loopback is not reached from here",
                          "run opsbook on that host")  # fmt: skip
    try:
        await _started(compose, wanted, name, out)
        await out.write(f"started {name} beside {wanted.workload}\n")
        yield _Container(compose, name)
    except BaseException:
        with suppress(OpsbookError):
            await asyncio.shield(asyncio.ensure_future(_gone(compose, wanted, name)))
        raise
    else:
        await _gone(compose, wanted, name)


async def running(compose: Compose, workload: str) -> _Container:
    """See `beside.within`."""
    found = [one for one in await compose.containers(workload) if one.active and not one.state.get("Paused")]
    if not found:
        raise ReadFailed(f"no container of {workload} runs at this moment")
    if len(found) > 1:
        raise several(workload, f"{len(found)} containers of it run")
    return _Container(compose, found[0].id)


def body_of(service: compose_create.Wanted, wanted: Beside) -> dict[str, Any]:
    """The body of `POST /containers/create`. Its ports are published on loopback, under numbers that are free."""
    argv = ["sh", "-c", WAITING, "sh", str(round(wanted.lasts))]
    body = config_of(service, Once(wanted.name, wanted.key, wanted.workload, "", argv, wanted.lasts))
    if wanted.ports:
        ports = [f"{port}/tcp" for port in wanted.ports]
        body["ExposedPorts"] = {port: {} for port in ports}
        body["HostConfig"]["PortBindings"] = {port: [{"HostIp": LOOPBACK, "HostPort": ""}] for port in ports}
    return body


async def _started(compose: Compose, wanted: Beside, name: str, out: Sink) -> None:
    service, found = compose.service(wanted.workload), await compose.containers(wanted.workload)
    if (running := sum(one.active for one in found)) > 1:
        raise several(wanted.workload, f"{running} containers of it run")
    image = max(found, key=lambda one: one.active).image if found else service.image
    await Maker(compose, wanted.workload, wanted.lasts, out).image_id(image)
    create = compose_create.wanted(compose.file, service, 1, name, image)
    with suppress(NotThere):
        there = await compose.api.call("inspect_container", name)
        if (there["Config"].get("Labels") or {}).get(KEY) != wanted.key and there["State"].get("Running"):
            raise Refused(f"{name} is under way already", "wait until it has ended")
        await removed(compose, name)
    try:
        await compose.api.call("create_container_from_config", body_of(create, wanted), name)
        for network in list(create.networks)[1:]:
            await compose.api.call("connect_container_to_network", name, network)
        await compose.api.call("start", name)
    except ApiFault as error:
        raise ChangeFailed(f"{name} could not be started: {error.message}", "is there a shell in the image?") from error


async def _gone(compose: Compose, wanted: Beside, name: str) -> None:
    with suppress(NotThere):
        there = await compose.api.call("inspect_container", name)
        if (there["Config"].get("Labels") or {}).get(KEY) == wanted.key:
            await removed(compose, name)


async def _heard(compose: Compose, name: str, given: bytes, hear: Hear) -> None:
    """What a command prints, handed on as it comes, read by a thread that ends with the command."""
    loop, left = asyncio.get_running_loop(), threading.Event()
    pieces: asyncio.Queue[tuple[int, bytes] | OpsbookError | None] = asyncio.Queue(WAITING_PIECES)

    def hand(piece: tuple[int, bytes] | OpsbookError | None) -> None:
        if left.is_set():
            raise RuntimeError("nobody waits any more")
        asyncio.run_coroutine_threadsafe(pieces.put(piece), loop).result()

    def read() -> None:
        client = None
        try:
            client = compose.api.another()
            # Without a time-out: the command may be silent as long as its own allows.
            client.timeout = None
            with told():
                for piece in _pieces(client, name, given):
                    hand(piece)
            hand(None)
        except OpsbookError as error:
            with suppress(RuntimeError):
                hand(error)
        except (RuntimeError, asyncio.CancelledError):
            return  # nobody waits any more
        finally:
            if client is not None:
                client.close()

    threading.Thread(target=read, daemon=True).start()
    try:
        while (piece := await pieces.get()) is not None:
            if isinstance(piece, OpsbookError):
                raise piece
            await hear(*piece)
    finally:
        left.set()
        while not pieces.empty():
            pieces.get_nowait()  # whoever waits to hand one on may go


def _pieces(client: Any, name: str, given: bytes) -> Iterator[tuple[int, bytes]]:
    """Pieces of output, each with its channel."""
    if not given:
        for out, errors in client.exec_start(name, stream=True, demux=True):
            if out:
                yield OUT, out
            if errors:
                yield ERRORS, errors
        return
    from docker.utils.socket import frames_iter

    carrier = client.exec_start(name, socket=True)
    plain: socket.socket = getattr(carrier, "_sock", carrier)

    def send() -> None:
        with contextlib.suppress(OSError):  # a command need not read all of it
            plain.sendall(given)

    threading.Thread(target=send, daemon=True).start()
    try:
        yield from frames_iter(carrier, tty=False)
    finally:
        carrier.close()
