"""All advice on a system, or on one component of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from opsbook.connectors.contract import Connections, Connector
from opsbook.connectors.pgbouncer import PgBouncerComponent, PgBouncerConnector
from opsbook.connectors.postgres import PostgresComponent, PostgresConnector
from opsbook.connectors.redis import RedisComponent, RedisConnector
from opsbook.connectors.workload import workload_of
from opsbook.errors import Absent, OpsbookError
from opsbook.observations.postgres_connections import SETTINGS
from opsbook.upkeep.advice import pgbouncer, postgres, resources, workers
from opsbook.upkeep.advice.autoscaling import of_autoscaler
from opsbook.upkeep.advice.contract import Advice, Advised, Machine
from opsbook.upkeep.advice.observed import History
from opsbook.upkeep.advice.servers import of_postgres, of_redis, planned_of, together
from opsbook.upkeep.advice.workloads import of_resources, serving_of

About = Literal["settings", "resources", "autoscaler"]
AT_ONCE = 8
ABOUT: tuple[About, ...] = ("settings", "resources", "autoscaler")


@dataclass(frozen=True)
class Question:
    """What is asked. `enough` are seconds that load must have been measured; None is the rule's own."""

    components: Sequence[str]
    about: Sequence[About] = ABOUT
    machine: Machine | None = None
    enough: float | None = None


async def advised(connections: Connections, history: History, question: Question) -> list[Advised]:
    """Advice on each component that there are rules for. A component that cannot be asked says so."""
    names: list[str] = []
    for name in question.components:
        same = together(connections.system, name) if _is_redis(connections, name) else [name]
        if not set(same) & set(names):  # one server is asked once
            names.append(name)
    turn = asyncio.Semaphore(AT_ONCE)

    async def of(name: str) -> list[Advised]:
        async with turn:
            return [one for kind in question.about async for one in _about(kind, connections, history, question, name)]

    return [one for parts in await asyncio.gather(*map(of, names)) for one in parts]


def _is_redis(connections: Connections, name: str) -> bool:
    return isinstance(connections.system.components[name], RedisComponent)


async def _about(
    kind: About, connections: Connections, history: History, question: Question, name: str
) -> AsyncIterator[Advised]:
    try:
        if kind == "settings":
            async for one in _settings(connections, history, question, name):
                yield one
        elif kind == "resources" and _has_workload(connections, name):
            enough = resources.ENOUGH_SECONDS if question.enough is None else question.enough
            yield await of_resources(connections, name, history, enough)
        elif kind == "autoscaler" and _has_workload(connections, name):
            one_of = await of_autoscaler(connections, name)
            if one_of is not None:
                yield one_of
    except (OpsbookError, TimeoutError) as error:
        # An answer that did not come in its time has no words.
        yield Advised(name, kind, untold=((str(error) or "it did not answer in its time").splitlines()[0],))


def _has_workload(connections: Connections, name: str) -> bool:
    try:
        workload_of(connections.system, name)
    except Absent:
        return False
    return bool(connections.runtime.capabilities)


async def _settings(
    connections: Connections, history: History, question: Question, name: str
) -> AsyncIterator[Advised]:
    connector: Connector = connections.of(name)
    if isinstance(connector, PostgresConnector):
        enough = postgres.ENOUGH_SECONDS if question.enough is None else question.enough
        said = await of_postgres(connector, history, question.machine, enough)
        yield replace(said, advice=(*said.advice, *await _sum_of_pools(connections, name)))
    elif isinstance(connector, RedisConnector):
        yield await of_redis(connector, question.machine)
    elif isinstance(connector, PgBouncerConnector):
        yield await _of_pgbouncer(connector)
    elif _serves(connections, name):
        serving = await serving_of(connections, name, question.machine)
        if serving is not None:
            yield workers.advise(name, serving)


def _serves(connections: Connections, name: str) -> bool:
    return connections.system.components[name].kind in ("http", "workload") and _has_workload(connections, name)


async def pools_of(connections: Connections, target: str) -> dict[str, int]:
    """Component → connections that one instance of it may open, of those that need the target directly."""
    found = {}
    for name, settings in connections.system.components.items():
        needs = settings.depends_on
        bounced = any(isinstance(connections.system.components[one], PgBouncerComponent) for one in needs)
        if target not in needs or (bounced and isinstance(connections.system.components[target], PostgresComponent)):
            continue
        try:
            serving = await serving_of(connections, name, None)
        except OpsbookError:
            continue
        if serving is not None and serving.pool is not None:
            found[name] = serving.workers * serving.pool
    return found


async def _sum_of_pools(connections: Connections, name: str) -> tuple[Advice, ...]:
    """A check that adds up all pools, where the book has none: a full server should be known before it is full."""
    system = connections.system
    if any((one.of, one.observe) == (name, "postgres.connections_planned") for one in system.checks):
        return ()
    pools = await pools_of(connections, name)
    bouncer = next((one for one, settings in system.components.items()
                    if isinstance(settings, PgBouncerComponent) and name in settings.depends_on), "")  # fmt: skip
    if not pools and not bouncer:
        return ()
    listed = ", ".join(f"{one}: {count}" for one, count in pools.items())
    parts = [f"pgbouncer: {bouncer}"] * bool(bouncer) + [f"pools: {{{listed}}}"] * bool(pools)
    said = ", ".join(parts)
    text = f"{{observe: postgres.connections_planned, of: {name}, with: {{{said}}}}}"
    return (Advice(name, "check of all pools", "none", text, "no check holds the sum of all pools against "
                   "max_connections, so that a full server is first known when it refuses", workers.POOLS, "book",
                   "none: it only looks", applied=False),)  # fmt: skip


async def _of_pgbouncer(connector: PgBouncerConnector) -> Advised:
    config = {str(row["key"]): str(row["value"]) for row in await connector.show("CONFIG")}
    databases, used = await connector.show("DATABASES"), await connector.show("POOLS")
    pools = await pools_of(connector.connections, connector.name)
    system = connector.system
    clients = float(sum(count * (system.components[one].replicas or 1) for one, count in pools.items())) or None
    room = await _room(connector)
    return pgbouncer.advise(connector.name, config, databases, used, clients=clients, room=room)


async def _room(bouncer: PgBouncerConnector) -> float | None:
    """Connections that the server behind it would still admit with all pools full; None where nobody adds them up."""
    for name in bouncer.component.depends_on:
        behind = bouncer.connections.of(name)
        if isinstance(behind, PostgresConnector) and (planned := await planned_of(behind)) is not None:
            ((most, reserved),) = await behind.primary.read(SETTINGS)
            return float(most - reserved) - planned
    return None
