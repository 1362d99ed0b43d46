"""Running checks: all at once, grouped so that each component is asked as little as possible.

Requests that share a component and a reader are one batch (a hundred PostgreSQL facts are one statement). Every batch
has a deadline of its own; a component that hangs or fails costs only its own checks. What opsbook times by itself comes
when the rest is done, or else its own work would be measured.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from opsbook.book.checks import Check
from opsbook.book.system import System
from opsbook.checks.causes import fold
from opsbook.checks.evaluate import WORST_FIRST, Result, State, judge
from opsbook.clock import Clock
from opsbook.connectors.contract import Connections, Failure, Reader, Reading, Request
from opsbook.errors import OpsbookError
from opsbook.observations.registry import failed, observations, read_parameters, timed_out

log = logging.getLogger(__name__)

GRACE = 0.5
"""Seconds that a batch gets beyond the longest timeout in it, so that readers can cut single facts themselves."""
QUIET_WITHIN = 3.0
"""Seconds after which what is timed no longer waits for the rest: it hangs, and costs next to nothing then."""


@dataclass(frozen=True)
class Sweep:
    """The results of one round of checks."""

    system: str
    environment: str
    at: datetime
    seconds: float
    results: tuple[Result, ...]

    def totals(self) -> dict[State, int]:
        """How many checks are in each state, worst first."""
        return {state: sum(result.state is state for result in self.results) for state in WORST_FIRST}

    @property
    def state(self) -> State:
        """The worst state of all."""
        return next((state for state, count in self.totals().items() if count), State.OK)


@dataclass
class _Batch:
    reader: Reader
    component: str
    requests: list[Request] = field(default_factory=list)

    @property
    def quiet(self) -> bool:
        return any(request.observation.quiet for request in self.requests)


async def sweep(
    system: System,
    checks: Sequence[Check],
    connections: Connections,
    clock: Clock,
    baselines: Mapping[str, float] | None = None,
) -> Sweep:
    """Run the checks. Never raises for what a component does; `baselines` are medians by check id."""
    started, at = clock.monotonic(), clock.now()
    batches, asked = _batches(system, checks)
    readings = await _read_all(batches, connections)
    results = []
    for check, key in zip(checks, asked, strict=True):
        reading, seconds = readings[key]
        spec = observations()[check.observe].spec
        result = judge(check, spec, reading, at, (baselines or {}).get(check.id))
        results.append(replace(result, seconds=seconds))
    folded = fold(results, system.upstream)
    return Sweep(system.model.system, system.name, at, clock.monotonic() - started, tuple(folded))


async def _read_all(batches: Sequence[_Batch], connections: Connections) -> dict[str, tuple[Reading, float]]:
    """All batches at once, but those that take times after the others."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_read(batch, connections)) for batch in batches if not batch.quiet]
        timing = [batch for batch in batches if batch.quiet]
        if tasks and timing:
            await asyncio.wait(tasks, timeout=QUIET_WITHIN)
        tasks += [group.create_task(_read(batch, connections)) for batch in timing]
    return {id: found for task in tasks for id, found in task.result().items()}


def _batches(system: System, checks: Sequence[Check]) -> tuple[list[_Batch], list[str]]:
    """The batches, and the request id that answers each check: equal questions are asked once."""
    batches: dict[tuple[int, str], _Batch] = {}
    asked: list[str] = []
    known: set[str] = set()
    for check in checks:
        observation = observations()[check.observe]
        parameters = read_parameters(observation.spec, check.with_)
        timeout = (check.timeout or system.model.intervals.timeout).total_seconds()
        key = f"{check.of}/{check.observe}/{timeout:g}/{parameters.model_dump_json()}"
        asked.append(key)
        if key in known:
            continue
        known.add(key)
        batch = batches.setdefault((id(observation.reader), check.of), _Batch(observation.reader, check.of))
        batch.requests.append(Request(key, observation.spec, parameters, timeout))
    return list(batches.values()), asked


async def _read(batch: _Batch, connections: Connections) -> dict[str, tuple[Reading, float]]:
    started = time.perf_counter()
    limit = max(request.timeout for request in batch.requests) + GRACE
    try:
        found = await asyncio.wait_for(batch.reader.read(connections.of(batch.component), batch.requests), limit)
    except TimeoutError:
        found = [timed_out(request) for request in batch.requests]
    except OpsbookError as error:
        found = [failed(request, error) for request in batch.requests]
    except Exception as error:  # the edge: a fault of a reader must not take the other components' checks with it
        log.exception("reading %s failed", batch.component)
        fault = f"opsbook could not read it: {type(error).__name__}: {error}"
        found = [Reading(request.id, None, failure=Failure.FAILED, message=fault) for request in batch.requests]
    seconds = time.perf_counter() - started
    return {reading.id: (reading, seconds) for reading in found}
