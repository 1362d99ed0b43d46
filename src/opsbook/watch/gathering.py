"""Reading what the system looks like: facts, states, logs and events of the components around an incident.

In a storm many incidents look at the same components: each thing is read by one at a time, and what was read a moment
ago, or could not be, answers the others too.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from opsbook.book.units import show
from opsbook.connectors.contract import Connector, Observation, Request
from opsbook.connectors.inside.reach import lines as lines_of
from opsbook.connectors.inside.reach import reached
from opsbook.connectors.inside.targets import needs
from opsbook.connectors.runtimes.contract import LogQuery
from opsbook.connectors.workload import workload_name
from opsbook.errors import OpsbookError
from opsbook.observations.registry import observations
from opsbook.store.database import reading
from opsbook.store.incidents import Incident
from opsbook.watch.contract import Watch
from opsbook.watch.suspects import changed

log = logging.getLogger(__name__)

SECONDS = 15.0
"""How long one thing may take, once it is its turn."""
IN_ALL = 60.0
"""How long all things of an incident may take."""
FRESH = 15.0
"""Seconds for which what was read answers other incidents, too."""
PARTS = 6
"""Components that are looked at: the incident's own, and those that it needs, nearest first."""
INSIDE_SECONDS = 4.0
"""How long one connection from inside a workload may take."""
LINES = 200
BEFORE = timedelta(minutes=10)
"""How far back logs and events are taken."""

LOOK_AT: Mapping[str, tuple[str, ...]] = {
    "postgres": (
        "postgres.connections", "postgres.active", "postgres.long_queries", "postgres.waiting_locks",
        "postgres.idle_in_transaction", "postgres.slow_queries", "postgres.replication_lag", "postgres.cache_hit_ratio",
    ),
    "redis": ("redis.memory", "redis.memory_ratio", "redis.clients", "redis.operations", "redis.evictions"),
    "celery": ("celery.queue_depth", "celery.oldest_waiting", "celery.workers", "celery.failure_rate"),
    "http": ("http.status", "http.latency_p95"),
    "pgbouncer": ("pgbouncer.waiting", "pgbouncer.up"),
    "host": ("host.cpu", "host.load", "host.memory", "host.swap", "host.disk_free", "host.disk_io"),
    "tls": ("tls.days_left",),
    "prometheus": ("prometheus.firing_alerts", "prometheus.targets_down"),
}  # fmt: skip
"""Kind of a component → the facts that are read of it."""

Gather = Callable[[], Awaitable[str]]


@dataclass(frozen=True)
class Gathered:
    """One thing, or why it could not be had."""

    name: str
    text: str
    error: str = ""


class Gathering:
    """Reads for the incidents of one watch."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._turns: dict[str, asyncio.Lock] = {}
        self._read: dict[str, tuple[float, Gathered]] = {}
        """What was read, and when, by this process's steady clock."""

    async def gather(self, one: Incident, now: datetime) -> list[Gathered]:
        """All that is to be known of an incident's moment. What is not there in time is noted as that."""
        things = {**self._components(one), "changes": self._changes(now)}
        tasks = {name: asyncio.create_task(self._once(name, call)) for name, call in things.items()}
        try:
            await asyncio.wait(tasks.values(), timeout=IN_ALL)
            late = Gathered("", "", f"not within {IN_ALL:g} s")
            return [task.result() if task.done() else _named(late, name) for name, task in tasks.items()]
        finally:
            for task in tasks.values():
                task.cancel()

    async def _once(self, name: str, call: Gather) -> Gathered:
        """Read a thing when nobody else reads it, or take what another has just read."""
        clock = asyncio.get_running_loop()
        async with self._turns.setdefault(name, asyncio.Lock()):
            at, known = self._read.get(name, (0.0, None))
            if known is not None and clock.time() - at < FRESH:
                return known
            found = await _bounded(name, call)
            self._read[name] = clock.time(), found
            return found

    def _components(self, one: Incident) -> dict[str, Gather]:
        system = self.watch.system
        known = system.components
        names = [one.component, *system.upstream(one.component)] if one.component in known else list(known)
        things: dict[str, Gather] = {}
        for name in names[:PARTS]:
            component = known[name]
            if facts := LOOK_AT.get(component.kind):
                things[f"{name}.facts"] = lambda name=name, facts=facts: self._facts(name, facts)  # type: ignore[misc]
            if component.workload:
                things[f"{name}.status"] = lambda name=name: self._status(name)  # type: ignore[misc]
                things[f"{name}.log"] = lambda name=name: self._log(name, one)  # type: ignore[misc]
                things[f"{name}.events"] = lambda name=name: self._events(name, one)  # type: ignore[misc]
        if one.component in known and known[one.component].workload and (needed := needs(system, one.component)):
            things[f"{one.component}.inside"] = lambda: self._inside(one.component, needed)
        for name, component in known.items():
            if component.kind == "host" and f"{name}.facts" not in things:
                things[f"{name}.facts"] = lambda name=name: self._facts(name, LOOK_AT["host"])  # type: ignore[misc]
        return things

    async def _facts(self, component: str, names: tuple[str, ...]) -> str:
        connector, lines, failed = self.watch.connections.of(component), list[str](), list[str]()
        for name in names:
            if (observation := observations().get(name)) is None:
                continue
            try:
                lines += await _fact(connector, name, observation)
            except TimeoutError:
                failed.append(f"{name}: not within {SECONDS / 2:g} s")
            except OpsbookError as error:
                failed.append(f"{name}: {error.message}")
                if not lines:
                    raise
        if failed and not lines:
            raise TimeoutError
        return "\n".join(lines + failed)

    async def _status(self, component: str) -> str:
        connections = self.watch.connections
        workload = await workload_name(connections.of(component))
        status = await connections.runtime.status(workload)
        found = status.workload
        lines = [f"{found.name} ({found.kind}): {found.ready} of {found.wanted} ready, version {status.version or '?'}"]
        lines += [
            f"  {one.name} {one.state}" + (f" since {one.started:%Y-%m-%d %H:%M:%S}" if one.started else "")
            + (f": {one.reason}" if one.reason else "")
            for one in status.instances
        ]  # fmt: skip
        if "resources" in connections.runtime.capabilities:
            usage = await connections.runtime.resources(workload)
            lines.append(f"  {usage.cpu:.2f} cores, {usage.memory / 2**20:.0f} MiB")
        return "\n".join(lines)

    async def _log(self, component: str, one: Incident) -> str:
        connections = self.watch.connections
        query = LogQuery(tail=LINES, since=_since(one))
        lines = [
            f"{line.instance} {line.text}"
            async for line in connections.runtime.logs(await workload_name(connections.of(component)), query)
        ]
        return "\n".join(lines[-LINES:]) or "nothing was written"

    async def _events(self, component: str, one: Incident) -> str:
        connections = self.watch.connections
        if "events" not in connections.runtime.capabilities:
            return "this runtime keeps no events"
        since = _since(one)
        lines = [
            f"{event.at:%H:%M:%S} " * bool(event.at) + f"{event.kind} {event.instance} {event.message}"
            async for event in connections.runtime.events(await workload_name(connections.of(component)))
            if event.at is None or event.at >= since
        ]
        return "\n".join(lines[-LINES:]) or "nothing happened"

    async def _inside(self, component: str, needed: Sequence[str]) -> str:
        """What it reaches of what it needs, seen from within its own workload."""
        table = await reached(self.watch.connections.of(component), needed, INSIDE_SECONDS, every=False)
        return "\n".join(lines_of(table))

    def _changes(self, now: datetime) -> Gather:
        async def read() -> str:
            def look() -> list[str]:
                with reading(self.watch.setting.store) as connection:
                    return list(changed(connection, self.watch.system, now))

            return "\n".join(await asyncio.to_thread(look)) or "nothing in the hour before"

        return read


async def _fact(connector: Connector, name: str, observation: Observation) -> list[str]:
    try:
        parameters = observation.spec.parameters.model_validate({})
    except ValueError:
        return []
    request = Request(name, observation.spec, parameters, SECONDS / 2)
    async with asyncio.timeout(SECONDS / 2):
        (found,) = await observation.reader.read(connector, [request])
    value = "not available" if found.value is None else show(found.value, observation.spec.dimension)
    return [f"{name}: {value}" + (f" ({found.message})" if found.message else ""), *_detail(found.detail)]


async def _bounded(name: str, call: Gather) -> Gathered:
    try:
        async with asyncio.timeout(SECONDS):
            return Gathered(name, await call())
    except TimeoutError:
        return Gathered(name, "", f"not within {SECONDS:g} s")
    except OpsbookError as error:
        return Gathered(name, "", error.message)
    except Exception as error:  # the edge: one thing that fails must not take the others along
        log.exception("gathering %s", name)
        return Gathered(name, "", f"a fault of opsbook itself: {type(error).__name__}")


def _named(found: Gathered, name: str) -> Gathered:
    return Gathered(name, found.text, found.error)


def _detail(detail: object) -> list[str]:
    rows = detail if isinstance(detail, list) else [detail] if detail else []
    return [f"    {json.dumps(row, ensure_ascii=False, default=str)[:400]}" for row in rows[:20]]


def _since(one: Incident) -> datetime:
    return datetime.fromtimestamp(one.round_at or one.opened_at, UTC) - BEFORE
