"""Ports of loopback that lead to services of the cluster, for connectors that must reach what is inside.

Nothing is installed there: each connection to the port is carried by a `portforward` of a pod that is ready at that
moment, so that one that goes is replaced at the next connection. Only loopback listens, only while opsbook runs.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opsbook.connectors.runtimes.kubernetes_api import KubernetesApi, NotThere, Object
from opsbook.errors import OpsbookError, Unreachable

if TYPE_CHECKING:
    from httpx_ws import AsyncWebSocketSession

LOOPBACK = "127.0.0.1"
CHUNK = 32_768
DATA, TROUBLE = 0, 1
BACKLOG = 64


@dataclass(frozen=True)
class Inside:
    """A service, or one pod of a headless one, as pods name it."""

    service: str
    namespace: str
    pod: str = ""

    @classmethod
    def read(cls, host: str, namespace: str) -> Inside:
        """`db`, `db.shop`, `db.shop.svc`, `db-0.db.shop.svc.cluster.local`."""
        labels = host.lower().removesuffix(".").removesuffix(".cluster.local").removesuffix(".svc").split(".")
        if len(labels) == 1:
            return cls(labels[0], namespace)
        if len(labels) == 2:
            return cls(labels[0], labels[1])
        return cls(labels[-2], labels[-1], labels[0])


class Forwards:
    """The forwarded ports of one runtime; one for each service and port, made when it is first asked for."""

    def __init__(self, api: KubernetesApi, namespace: str) -> None:
        self._api, self._namespace = api, namespace
        self._ports: dict[tuple[Inside, int], socket.socket] = {}
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def port(self, host: str, port: int, loop: asyncio.AbstractEventLoop) -> int:
        """The port of loopback that leads there. May be called in any thread."""
        inside = Inside.read(host, self._namespace)
        listening = self._ports.get((inside, port))
        if listening is None:
            listening = self._ports[inside, port] = socket.create_server((LOOPBACK, 0), backlog=BACKLOG)
            listening.setblocking(False)
            loop.call_soon_threadsafe(self._listen, listening, inside, port)
        found: int = listening.getsockname()[1]
        return found

    def _listen(self, listening: socket.socket, inside: Inside, port: int) -> None:
        self._start(self._serve(listening, inside, port))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, listening: socket.socket, inside: Inside, port: int) -> None:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._start(self._carry(inside, port, reader, writer))

        server = await asyncio.start_server(accept, sock=listening)
        self._servers.append(server)

    async def _carry(
        self, inside: Inside, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One connection, until one side ends it."""
        try:
            pod, target = await self._endpoint(inside, port)
            path = f"/api/v1/namespaces/{inside.namespace}/pods/{pod}/portforward"
            async with self._api.socket(path, {"ports": str(target)}) as carrier:
                ways = [
                    asyncio.ensure_future(_inward(reader, carrier)),
                    asyncio.ensure_future(_outward(carrier, writer)),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
        except (OpsbookError, OSError):
            # Who connected sees that the connection was closed, and tries again: then another pod may be ready.
            if isinstance(writer.transport, asyncio.Transport):
                writer.transport.abort()
        finally:
            writer.close()

    async def _endpoint(self, inside: Inside, port: int) -> tuple[str, int]:
        """A ready pod behind the service, and its own port. Raises Unreachable."""
        base = f"/api/v1/namespaces/{inside.namespace}"
        try:
            service = await self._api.get(f"{base}/services/{inside.service}")
            endpoints = await self._api.get(f"{base}/endpoints/{inside.service}")
        except NotThere as error:
            raise Unreachable(f"there is no service {inside.service} in {inside.namespace}") from error
        found = ready_behind(service, endpoints, port, inside.pod)
        if not found:
            raise Unreachable(f"no pod behind the service {inside.service}:{port} is ready")
        return random.choice(found)  # noqa: S311  any will do

    async def close(self) -> None:
        """Nothing listens any more, and what is carried is cut."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self._servers:
            server.close()
        for listening in self._ports.values():
            listening.close()


def ready_behind(service: Object, endpoints: Object, port: int, pod: str = "") -> list[tuple[str, int]]:
    """Pods that are ready behind a port of a service, each with its own port."""
    named = {one["port"]: one.get("name", "") for one in service["spec"].get("ports") or []}
    headless = service["spec"].get("clusterIP") == "None"
    found = []
    for subset in endpoints.get("subsets") or []:
        ports = {one.get("name", ""): int(one["port"]) for one in subset.get("ports") or []}
        target = ports.get(named[port]) if port in named else (port if headless else None)
        for address in subset.get("addresses") or []:
            reference = address.get("targetRef") or {}
            if target and reference.get("kind") == "Pod" and (not pod or reference["name"] == pod):
                found.append((reference["name"], target))
    return found


async def _inward(reader: asyncio.StreamReader, carrier: AsyncWebSocketSession) -> None:
    while data := await reader.read(CHUNK):
        await carrier.send_bytes(bytes([DATA]) + data)


async def _outward(carrier: AsyncWebSocketSession, writer: asyncio.StreamWriter) -> None:
    """The first message of each channel only repeats the port; one on the other channel tells what went wrong."""
    from httpx_ws import HTTPXWSException

    begun: set[int] = set()
    write: Callable[[bytes], None] = writer.write
    try:
        while True:
            message = await carrier.receive_bytes()
            channel = message[0]
            if channel not in begun:
                begun.add(channel)
            elif channel == TROUBLE:
                return
            else:
                write(message[1:])
                await writer.drain()
    except (HTTPXWSException, OSError):
        return
