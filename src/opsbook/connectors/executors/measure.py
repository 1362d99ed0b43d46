"""Changes of the kind `measure`: how a component answers for some time, which changes nothing.

effect: `component`, `path`, `seconds`, `rate` (requests a second); `errors` (the largest share of failed requests) and
`latency` (the longest 95th percentile, in seconds), each of which may be None: then it is only measured. And, as far as
they are named: `status` and `contains`, what each answer must be; `before`, the status that most answers had before,
in place of which only 2xx is as good; `checks` (ids), looked at every `every` seconds, or once where nothing is
allowed or refused (`every` is 0).

Each request goes over a connection of its own, so that it meets the instance that a balancer, or a forward into a
cluster, chooses anew. Opening it is no part of how long an answer takes.

A measurement that is worse ends at once, so that what was brought up goes back at once: as soon as so many requests
have failed that the share cannot be kept over all of it, half of them were too slow for the percentile, or a check is
bad twice in a row.

result: `answers`, `errors` (their share), `p95` in seconds, `seconds`, `status` (that of most answers below 500, or 0),
`bad` (ids of checks that were bad at the one look).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.checks_held import bad_among, until_bad
from opsbook.connectors.http import HttpConnector
from opsbook.connectors.http_client import Answer
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
    statuses: Counter[int] = field(default_factory=Counter)

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
        bad = [] if effect.get("every") else list(await bad_among(self.connections, effect.get("checks", ())))
        async with self._held(effect) as held:
            found, took = await self._ask(connector, effect, whole, held, out)
        await out.write(f"{found.asked} answers, {found.errors:.1%} errors, p95 {found.p95 * 1000:.0f} ms\n")
        (status, _), *_ = [*found.statuses.most_common(1), (0, 0)]
        return Done({"answers": found.asked, "errors": round(found.errors, 6), "p95": round(found.p95, 6),
                     "seconds": took, "status": status, "bad": bad})  # fmt: skip

    @asynccontextmanager
    async def _held(self, effect: Json) -> AsyncIterator[asyncio.Future[str]]:
        """Looks at the checks meanwhile; it is done as soon as one is bad."""
        held: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if effect.get("every") and effect.get("checks"):
            held = asyncio.ensure_future(until_bad(self.connections, effect["checks"], effect["every"]))
        try:
            yield held
        finally:
            held.cancel()
            await asyncio.gather(held, return_exceptions=True)

    async def _ask(
        self, connector: HttpConnector, effect: Json, whole: int, held: asyncio.Future[str], out: Sink
    ) -> tuple[Measured, float]:
        """What was seen, and the seconds it took."""
        found, started, told = Measured(), time.monotonic(), time.monotonic()
        tasks: set[asyncio.Task[None]] = set()
        try:
            for number in range(whole):
                await asyncio.sleep(max(0.0, started + number / effect["rate"] - time.monotonic()))
                task = asyncio.ensure_future(_ask(connector, effect, found))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                self._must_be_good(effect, found, whole, held)
                if time.monotonic() - told > TELL_SECONDS:
                    told = time.monotonic()
                    await out.write(
                        f"{found.asked} answers, {found.errors:.1%} errors, p95 {found.p95 * 1000:.0f} ms\n"
                    )
            while tasks:
                await asyncio.wait(tasks)
            self._must_be_good(effect, found, found.asked, held)
        finally:
            for task in tasks:
                task.cancel()
        return found, round(time.monotonic() - started, 1)

    def _must_be_good(self, effect: Json, found: Measured, whole: int, held: asyncio.Future[str]) -> None:
        why = found.worse(effect["errors"], effect["latency"], whole)
        if why := why or (held.result() if held.done() else ""):
            raise ChangeFailed(f"{effect['component']}: {why}", "it goes back where the step says so; see its logs")

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of it outlives this process."""
        return True


async def _ask(connector: HttpConnector, effect: Json, found: Measured) -> None:
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            answer = await connector.client.anew("GET", effect["path"])
    except TimeoutError:
        found.failed, found.last = found.failed + 1, f"no answer within {REQUEST_SECONDS:g} s"
    except OpsbookError as error:
        found.failed, found.last = found.failed + 1, error.message
    else:
        found.statuses[answer.status] += answer.status < 500
        if said := wrong(answer, effect):
            found.failed, found.last = found.failed + 1, said
        else:
            opened = answer.phases.dns + answer.phases.connect + answer.phases.tls
            found.seconds.append(max(0.0, answer.seconds - opened))


def wrong(answer: Answer, effect: Json) -> str:
    """Why an answer counts as failed; empty where it is good. Pure."""
    status, before = effect.get("status"), effect.get("before")
    if status is not None:
        good = answer.status == status
    elif before:
        good = 200 <= answer.status < 300 or answer.status == before
    else:
        good = answer.status < 500
    if not good:
        return answer.words
    text = effect.get("contains")
    return f"{answer.words} without {text!r}" if text and text not in answer.text else ""
