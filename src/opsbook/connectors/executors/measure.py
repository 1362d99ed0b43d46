"""Changes of the kind `measure`: how a component answers for some time, which changes nothing.

effect: `component`, `path`, `seconds`, `rate` (requests a second); `errors` (the largest share of failed requests) and
`latency` (the longest 95th percentile, in seconds), each of which may be None: then it is only measured.

A measurement that is worse ends at once, so that what was brought up goes back at once: as soon as so many requests
have failed that the share cannot be kept over all of it, or half of them were too slow for the percentile.

result: `answers`, `errors` (their share), `p95` in seconds, `seconds`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.http import HttpConnector
from opsbook.connectors.registry import executor
from opsbook.errors import OpsbookError

REQUEST_SECONDS = 5.0
TELL_SECONDS = 10.0
FEWEST = 5
"""Answers before which nothing is concluded."""


@dataclass
class Measured:
    """What was seen so far."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0
    last: str = ""

    @property
    def asked(self) -> int:
        return len(self.seconds) + self.failed

    @property
    def errors(self) -> float:
        return self.failed / self.asked if self.asked else 0.0

    @property
    def p95(self) -> float:
        return percentile(self.seconds, 0.95)

    def worse(self, errors: float | None, latency: float | None, whole: int) -> str:
        """Why it can no longer be good over the whole of so many requests; empty while it can."""
        if self.asked < min(FEWEST, whole):
            return ""
        if errors is not None and self.failed > errors * whole:
            return f"{self.failed} of {self.asked} requests failed ({self.last}), allowed are {errors:.1%}"
        if latency is not None:
            slow = sum(one > latency for one in self.seconds)
            if slow > 0.05 * max(whole, 1) and slow > 1:
                took = f"p95 {self.p95 * 1000:.0f} ms"
                return f"{slow} of {self.asked} answers took longer than {latency * 1000:.0f} ms ({took})"
        return ""


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@executor("measure")
class Measure:
    """Asks at a steady rate."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed as soon as it is worse than allowed."""
        effect = change.effect
        connector = self.connections.of(effect["component"])
        assert isinstance(connector, HttpConnector), "planned for what speaks HTTP"
        whole = max(1, round(effect["seconds"] * effect["rate"]))
        found, started, told = Measured(), time.monotonic(), time.monotonic()
        tasks: set[asyncio.Task[None]] = set()
        try:
            for number in range(whole):
                await asyncio.sleep(max(0.0, started + number / effect["rate"] - time.monotonic()))
                task = asyncio.ensure_future(_ask(connector, effect["path"], found))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                self._must_be_good(effect, found, whole)
                if time.monotonic() - told > TELL_SECONDS:
                    told = time.monotonic()
                    await out.write(
                        f"{found.asked} answers, {found.errors:.1%} errors, p95 {found.p95 * 1000:.0f} ms\n"
                    )
            while tasks:
                await asyncio.wait(tasks)
            self._must_be_good(effect, found, found.asked)
        finally:
            for task in tasks:
                task.cancel()
        took = round(time.monotonic() - started, 1)
        await out.write(f"{found.asked} answers, {found.errors:.1%} errors, p95 {found.p95 * 1000:.0f} ms\n")
        return Done(
            {"answers": found.asked, "errors": round(found.errors, 6), "p95": round(found.p95, 6), "seconds": took}
        )

    def _must_be_good(self, effect: Json, found: Measured, whole: int) -> None:
        if why := found.worse(effect["errors"], effect["latency"], whole):
            raise ChangeFailed(f"{effect['component']}: {why}", "it goes back where the step says so; see its logs")

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of it outlives this process."""
        return True


async def _ask(connector: HttpConnector, path: str, found: Measured) -> None:
    began = time.monotonic()
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            answer = await connector.client.get(path)
    except TimeoutError:
        found.failed, found.last = found.failed + 1, f"no answer within {REQUEST_SECONDS:g} s"
    except OpsbookError as error:
        found.failed, found.last = found.failed + 1, error.message
    else:
        if answer.status >= 500:
            found.failed, found.last = found.failed + 1, answer.words
        else:
            found.seconds.append(time.monotonic() - began)
