"""Gathers what the system looks like when an incident opens, and keeps it as evidence.

Everything at once, each with its own time limit; what fails is noted as that. A process that dies in between gathers
again. It only reads; procedures that the policy lets run unattended are submitted to the engine, and the timeline says
so.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from opsbook.book.catalogue import Risk
from opsbook.book.units import show
from opsbook.connectors.contract import Request
from opsbook.connectors.runtimes.contract import LogQuery
from opsbook.connectors.workload import workload_name
from opsbook.engine.output import Mask
from opsbook.engine.policy import rule_of
from opsbook.engine.service import Wish
from opsbook.engine.setting import secrets_of
from opsbook.errors import OpsbookError
from opsbook.observations.registry import observations
from opsbook.printable import printable
from opsbook.store import alerts, runs
from opsbook.store import evidence as evidence_rows
from opsbook.store import incidents as store
from opsbook.store.database import reading
from opsbook.store.due import DUE, Due
from opsbook.store.evidence import Evidence
from opsbook.store.incidents import Event, Incident
from opsbook.watch.contract import Watch
from opsbook.watch.registry import part
from opsbook.watch.schedules import run_id
from opsbook.watch.suspects import changed

log = logging.getLogger(__name__)

SECONDS = 15.0
"""How long one thing may take."""
PARTS = 6
"""Components that are looked at: the incident's own, and those that it needs, nearest first."""
LINES = 200
BEFORE = timedelta(minutes=10)
"""How far back logs and events are taken."""
LONGEST = 60_000
AT_ONCE = 10
"""Incidents of one tick; in a storm the others come with the next ones."""
YOUNG = timedelta(hours=1)
"""An incident that is older when it is first seen is not looked at any more: the moment is gone."""
REST = timedelta(seconds=10)
DIAGNOSED = "diagnosed"
"""Kind of the line that says that it was done, one for each round."""

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


@part
class Diagnostics:
    """The part of the watch that gathers."""

    name = "diagnostics"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    async def tick(self, now: datetime) -> datetime:
        """Gather for incidents that nothing was gathered for yet."""
        waiting = await asyncio.to_thread(self._waiting, now)
        for one in waiting[:AT_ONCE]:
            await self.gather(one, now)
        return now if len(waiting) > AT_ONCE else now + REST

    def _waiting(self, now: datetime) -> list[Incident]:
        """Some of those that nothing was gathered for yet, and one more than a tick takes."""
        since = (now - YOUNG).timestamp()
        with reading(self.watch.setting.store) as connection:
            return store.without_line(connection, self.watch.where, DIAGNOSED, since, AT_ONCE + 1)

    async def gather(self, one: Incident, now: datetime) -> None:
        """Gather for one incident, and keep it."""
        setting = self.watch.setting
        things = {**self._components(one), "changes": self._changes(now)}
        found = await asyncio.gather(*(_bounded(name, call) for name, call in things.items()))
        mask = Mask(await asyncio.to_thread(secrets_of, self.watch.system))
        rows = [_row(one, gathered, mask, now) for gathered in found]
        told = await self._procedures(one)
        bad = sum(bool(row.error) for row in rows)
        text = f"gathered {len(rows) - bad} things" + (f"; {bad} could not be had" if bad else "")
        events = [Event(one.id, now.timestamp(), "opsbook", DIAGNOSED, text, key=_key(one))]
        events += [Event(one.id, now.timestamp(), "opsbook", "run", line) for line in told]

        def write(connection: Connection) -> None:
            for row in rows:
                evidence_rows.keep(connection, row)
            store.tell(connection, events)

        await setting.in_writer(lambda: setting.write([write]))

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
        for name, component in known.items():
            if component.kind == "host" and f"{name}.facts" not in things:
                things[f"{name}.facts"] = lambda name=name: self._facts(name, LOOK_AT["host"])  # type: ignore[misc]
        return things

    async def _facts(self, component: str, names: tuple[str, ...]) -> str:
        connector = self.watch.connections.of(component)
        lines: list[str] = []
        for name in names:
            if (observation := observations().get(name)) is None:
                continue
            try:
                parameters = observation.spec.parameters.model_validate({})
            except ValueError:
                continue
            request = Request(name, observation.spec, parameters, SECONDS / 2)
            async with asyncio.timeout(SECONDS / 2):
                (reading_,) = await observation.reader.read(connector, [request])
            value = "not available" if reading_.value is None else show(reading_.value, observation.spec.dimension)
            lines.append(f"{name}: {value}" + (f" ({reading_.message})" if reading_.message else ""))
            lines += _detail(reading_.detail)
        return "\n".join(lines)

    async def _status(self, component: str) -> str:
        connections = self.watch.connections
        workload = workload_name(connections.of(component))
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
            async for line in connections.runtime.logs(workload_name(connections.of(component)), query)
        ]
        return "\n".join(lines[-LINES:]) or "nothing was written"

    async def _events(self, component: str, one: Incident) -> str:
        connections = self.watch.connections
        if "events" not in connections.runtime.capabilities:
            return "this runtime keeps no events"
        since = _since(one)
        lines = [
            f"{event.at:%H:%M:%S} " * bool(event.at) + f"{event.kind} {event.instance} {event.message}"
            async for event in connections.runtime.events(workload_name(connections.of(component)))
            if event.at is None or event.at >= since
        ]
        return "\n".join(lines[-LINES:]) or "nothing happened"

    def _changes(self, now: datetime) -> Gather:
        async def read() -> str:
            def look() -> list[str]:
                with reading(self.watch.setting.store) as connection:
                    return list(changed(connection, self.watch.system, now))

            return "\n".join(await asyncio.to_thread(look)) or "nothing in the hour before"

        return read

    async def _procedures(self, one: Incident) -> list[str]:
        """Submit what looks further, and what the policy lets opsbook do by itself; a line about each."""
        book = self.watch.system.model
        told = [await self._submit(one, name, looking=True) for name in book.incidents.diagnostics]
        if one.procedure and one.rounds == 0 and await asyncio.to_thread(self._own, one):
            told.append(await self._submit(one, one.procedure, looking=False))
        return [line for line in told if line]

    async def _submit(self, one: Incident, name: str, *, looking: bool) -> str:
        service = self.watch.service(f"alert {one.id}")
        try:
            procedure = service.procedure(name)
            rule = rule_of(self.watch.system.policy, procedure.risk, procedure.name)
            if looking and procedure.risk is not Risk.READ:
                return f"{name} is not run to look further: it is {procedure.risk}"
            if not looking and not rule.unattended:
                return ""
            # A process that died after it had asked, and before the timeline said so, asks for the same run again.
            wanted = run_id(self.watch.where, Due(f"incident/{one.id}/{one.rounds}/{name}", one.opened_at, DUE))
            if (begun := await asyncio.to_thread(self._run_of, wanted)) is not None and begun.procedure == name:
                return f"run {wanted} of {name} was asked for already"
            async with asyncio.timeout(SECONDS * 4):
                plan = await service.plan(procedure)
            if (pending := await asyncio.to_thread(service.pending, plan)) is not None:
                return f"run {pending.id} of {name} is under way already"
            # The policy has said yes in advance; whatever else it asks for is asked for all the same.
            row = await asyncio.to_thread(service.submit, plan, Wish(confirmed=True, run="" if begun else wanted))
        except OpsbookError as error:
            return f"{name} was not run: {error.message}"
        except TimeoutError:
            return f"{name} was not run: it could not be planned in time"
        why = "to look further" if looking else "by itself, as the policy of this environment allows"
        return f"run {row.id} of {name} was asked for, {why}"

    def _own(self, one: Incident) -> bool:
        """Whether what is suggested is no foreign source's word: that is shown to people, and never done by itself."""
        with reading(self.watch.setting.store) as connection:
            found = alerts.of_incident(connection, one.id)
        sources = {row["source"] for row in found if row["procedure"] == one.procedure}
        return sources != {"alertmanager"}

    def _run_of(self, run: str) -> runs.RunRow | None:
        with reading(self.watch.setting.store) as connection:
            return runs.run_of(connection, run)


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


def _row(one: Incident, found: Gathered, mask: Mask, now: datetime) -> Evidence:
    text = printable(mask.whole(found.text))[:LONGEST]
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return Evidence(one.id, found.name, now.timestamp(), text, digest, printable(mask.whole(found.error))[:500])


def _detail(detail: object) -> list[str]:
    rows = detail if isinstance(detail, list) else [detail] if detail else []
    return [f"    {json.dumps(row, ensure_ascii=False, default=str)[:400]}" for row in rows[:20]]


def _since(one: Incident) -> datetime:
    return datetime.fromtimestamp(one.round_at or one.opened_at, UTC) - BEFORE


def _key(one: Incident) -> str:
    return f"{DIAGNOSED}|{one.id}|{one.rounds}"
