"""A proxy that finds its servers by the labels of containers, as traefik does: `python label_proxy.py SETTINGS.json`.

It asks the engine every 200 ms, takes containers that run and whose health check, where there is one, passes, and goes
round them. A request of which no answer has come is sent to another server, as traefik's `retry` does it. `/-/said`
tells what it knows.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import docker

LOOK_SECONDS, ANSWER_SECONDS = 0.2, 5.0


class Proxy:
    """`settings`: engine, project, attempts, and for each entry its port and the label that its servers have."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.client = docker.APIClient(base_url=settings["engine"], timeout=10)
        self.servers: dict[int, list[tuple[str, int]]] = {entry["port"]: [] for entry in settings["entries"]}
        self.said = {"asked": 0, "again": 0, "lost": 0}
        self.turn = count()

    async def look(self) -> None:
        while True:
            with suppress(Exception):  # the engine is busy: what was known holds
                self.servers = await asyncio.to_thread(self.found)
            await asyncio.sleep(LOOK_SECONDS)

    def found(self) -> dict[int, list[tuple[str, int]]]:
        known: dict[int, list[tuple[str, int]]] = {port: [] for port in self.servers}
        label = f"com.docker.compose.project={self.settings['project']}"
        for one in self.client.containers(filters={"label": label}):
            told = self.client.inspect_container(one["Id"])
            health = (told["State"].get("Health") or {}).get("Status") or ""
            if told["State"]["Status"] != "running" or health not in ("", "healthy"):
                continue
            address = next(iter(told["NetworkSettings"]["Networks"].values()))["IPAddress"]
            for entry in self.settings["entries"]:
                if told["Config"]["Labels"].get(entry["label"]) == entry["value"] and address:
                    known[entry["port"]].append((address, self.settings["to"]))
        return known

    async def serve(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET /-/said "):
                body = json.dumps({**self.said, "servers": {str(k): len(v) for k, v in self.servers.items()}}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
            else:
                writer.write(await self.answer(port, head))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def answer(self, port: int, head: bytes) -> bytes:
        main = port == self.settings["entries"][0]["port"]
        self.said["asked"] += main
        lines = [line for line in head.split(b"\r\n") if line and not line.lower().startswith(b"connection:")]
        request = b"\r\n".join([*lines, b"Connection: close", b"", b""])
        for attempt in range(self.settings["attempts"]):
            servers = self.servers[port]
            if servers:
                self.said["again"] += main and attempt > 0
                with suppress(OSError, asyncio.TimeoutError):
                    async with asyncio.timeout(ANSWER_SECONDS):
                        if answer := await self.ask(*servers[next(self.turn) % len(servers)], request):
                            return answer
            await asyncio.sleep(LOOK_SECONDS / 2 if attempt else 0)
        self.said["lost"] += main
        return b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    async def ask(self, host: str, port: int, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(request)
            return await reader.read(-1)
        finally:
            writer.close()


async def run(settings: dict[str, Any]) -> None:
    proxy = Proxy(settings)
    for port in proxy.servers:
        await asyncio.start_server(partial(proxy.serve, port), "127.0.0.1", port, backlog=128)
    await proxy.look()


if __name__ == "__main__":
    asyncio.run(run(json.loads(Path(sys.argv[1]).read_text())))
