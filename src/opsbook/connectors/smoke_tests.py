"""Smoke tests of a book: requests that prove that a component serves, asked one after the other and judged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from opsbook.book.delivery import SmokeTest
from opsbook.book.references import Reference
from opsbook.connectors.contract import Connections
from opsbook.connectors.http import HttpConnector
from opsbook.errors import OpsbookError

TRIES = 3
"""Right after a start or a switch a pool may hold a connection that is gone; it is not asked about a second time."""
PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Smoked:
    """A smoke test, and what came of it."""

    id: str
    component: str
    good: bool
    seconds: float
    message: str
    """One sentence."""


async def smoke_tested(connections: Connections, tests: Iterable[SmokeTest]) -> list[Smoked]:
    """Each of them, over a connection of its own. Never raises for what a component answers."""
    return [await _smoked(connections, test) for test in tests]


def tests_of(tests: Sequence[SmokeTest], components: Iterable[str], wanted: Iterable[str] = ()) -> list[SmokeTest]:
    """Those of these components; only the wanted ones where some are named."""
    here, only = set(components), set(wanted)
    return [one for one in tests if one.of in here and (not only or one.id in only)]


async def _smoked(connections: Connections, test: SmokeTest) -> Smoked:
    started, said = time.monotonic(), ""
    for left in range(TRIES - 1, -1, -1):
        began = time.monotonic()
        said = await _wrong(connections, test)
        if not said:
            seconds = time.monotonic() - began
            return Smoked(test.id, test.of, True, round(seconds, 3), f"{test.id}: {test.status} in {seconds:.2f} s")
        if left:
            await asyncio.sleep(PAUSE_SECONDS)
    return Smoked(test.id, test.of, False, round(time.monotonic() - started, 3), f"smoke test {test.id}: {said}")


async def _wrong(connections: Connections, test: SmokeTest) -> str:
    """What is wrong with the answer; empty where nothing is."""
    connector = connections.of(test.of)
    if not isinstance(connector, HttpConnector):
        return f"{test.of} takes no requests; name a component of the kind http or proxy"
    seconds = test.within.total_seconds()
    try:
        headers = {name: connections.system.resolve(Reference(text)) for name, text in test.headers.items()}
        async with asyncio.timeout(seconds):
            answer = await connector.client.anew(test.method, test.path, test.body.encode() or None, headers)
    except TimeoutError:
        return f"{test.method} {test.path} of {test.of} was not answered within {seconds:g} s"
    except OpsbookError as error:
        return error.message
    if answer.status != test.status:
        return f"{test.method} {test.path} of {test.of} answers {answer.words}, not {test.status}"
    if test.contains and test.contains not in answer.text:
        return f"the answer to {test.method} {test.path} of {test.of} does not hold {test.contains!r}"
    return ""
