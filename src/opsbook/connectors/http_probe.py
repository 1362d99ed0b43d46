"""Timed exchanges with one path: how long its answers take, and where that time goes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opsbook.connectors.http_client import HttpClient, exchange
from opsbook.errors import OpsbookError

if TYPE_CHECKING:
    import httpx

    from opsbook.connectors._http_wire import Phases


@dataclass(frozen=True)
class Probing:
    """How to probe."""

    path: str
    probes: int
    concurrency: int
    connect: bool
    """Whether each probe opens a connection, as a new client does."""


@dataclass(frozen=True)
class Probe:
    """One timed exchange. One without phases did not end within the time, or failed as `failure` says."""

    seconds: float
    phases: Phases | None = None
    status: int = 0
    failure: str = ""

    @property
    def served(self) -> bool:
        """An answer of a server that works; a quick error is not a quick answer."""
        return self.phases is not None and self.status < 500


async def run_probes(client: HttpClient, probing: Probing, seconds: float) -> list[Probe]:
    """Exactly `probes` probes, or as many as begin within the seconds; those under way at the end are cut.

    Each cut one counts with the time it had, so that a slow service is known to be slow and not only unknown.
    """
    found: list[Probe] = []
    deadline = asyncio.get_running_loop().time() + seconds
    numbers = iter(range(probing.probes))
    http = client.client(client.transport(keep=not probing.connect))
    lanes = max(1, min(probing.concurrency, probing.probes))
    clients = [http] + [client.client(client.transport(keep=not probing.connect)) for _ in range(lanes - 1)]
    try:
        await asyncio.gather(
            *(_lane(one, client.address_of(probing.path), numbers, deadline, found) for one in clients)
        )
    finally:
        for one in clients:
            await one.aclose()
    return found


async def _lane(
    client: httpx.AsyncClient, url: str, numbers: Iterator[int], deadline: float, found: list[Probe]
) -> None:
    clock = asyncio.get_running_loop().time
    for _ in numbers:
        started = clock()
        if started >= deadline:
            return
        try:
            async with asyncio.timeout_at(deadline):
                answer = await exchange(client, "GET", url)
            found.append(Probe(answer.seconds, answer.phases, answer.status))
        except TimeoutError:
            found.append(Probe(clock() - started))
        except OpsbookError as error:
            found.append(Probe(clock() - started, failure=error.message))
