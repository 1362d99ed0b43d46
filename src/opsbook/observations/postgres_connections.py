"""How many connections everything may open at once, told before the server refuses one.

What is open now says little: a pool grows under load, and the server is full on the worst day. So the sum is made of
the pools at their full size: instances of a component × its pool, and what PgBouncer may open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field, NonNegativeInt

from opsbook.book.catalogue import Component, Parameters
from opsbook.book.units import Dimension
from opsbook.book.values import Name
from opsbook.connectors.contract import Fact, ReadFailed
from opsbook.connectors.pgbouncer import CONSOLE, PgBouncerConnector
from opsbook.connectors.postgres import PostgresConnector
from opsbook.observations.registry import Absent, observation

SETTINGS = """
    SELECT current_setting('max_connections')::int,
           current_setting('superuser_reserved_connections')::int
           + coalesce(current_setting('reserved_connections', true), '0')::int
"""
"""`reserved_connections` is there from PostgreSQL 16 on."""


class PlanParameters(Parameters):
    """Who takes connections."""

    pools: dict[Name, NonNegativeInt] = Field(
        {}, description="component: connections that one instance may open (its processes × their pool)"
    )
    pgbouncer: Name | None = Field(None, description="the PgBouncer before this server; its pools count in full")
    databases: tuple[str, ...] = Field(
        (), description="databases of PgBouncer that lead to this server; all of them where left out"
    )
    other: int = Field(0, ge=0, description="connections for people, backups and monitoring")


@dataclass(frozen=True)
class Taker:
    """Who may take how many connections, and by which sum."""

    name: str
    connections: int
    sum: str


def of_instances(components: Mapping[str, Component], pools: Mapping[str, int]) -> list[Taker]:
    """Instances × pool of each component; without `replicas` it is one. Raises ReadFailed for an unknown one."""
    takers = []
    for name, pool in pools.items():
        if name not in components:
            raise ReadFailed(f"`pools` names {name!r}, which is no component: {', '.join(components)}")
        replicas = components[name].replicas
        instances = 1 if replicas is None else replicas
        takers.append(Taker(name, instances * pool, f"{instances} × {pool}"))
    return takers


def of_pgbouncer(
    name: str, databases: Sequence[Mapping[str, Any]], pools: Sequence[Mapping[str, Any]], wanted: Sequence[str] = ()
) -> list[Taker]:
    """What PgBouncer may open, of `SHOW DATABASES` and `SHOW POOLS`: a pool for each database and user.

    A database with a forced user has one pool; of another, the users count that have been seen, at least one.
    `max_connections` of a database (max_db_connections) is a ceiling over its pools; 0 is none.
    Source: https://www.pgbouncer.org/config.html.
    """
    known = [row["name"] for row in databases if row["name"] != CONSOLE]
    for one in wanted:
        if one not in known:
            raise ReadFailed(f"{name} has no database {one!r}, but {', '.join(known)}")
    takers = []
    for row in databases:
        if row["name"] not in (wanted or known):
            continue
        users = {pool["user"] for pool in pools if pool["database"] == row["name"]}
        count = 1 if row.get("force_user") else max(1, len(users))
        size = int(row["pool_size"]) + int(row.get("reserve_pool_size", row.get("reserve_pool")) or 0)
        ceiling = int(row.get("max_connections") or 0)
        most = min(count * size, ceiling) if ceiling else count * size
        words = f"{count} × {size}" if most == count * size else f"{count} × {size}, at most {ceiling}"
        takers.append(Taker(f"{name}/{row['name']}", most, words))
    return takers


def planned(takers: Sequence[Taker], most: int, reserved: int) -> Fact:
    """The sum of all as a share of what the server leaves to them, and who takes how many."""
    free = most - reserved
    total = sum(one.connections for one in takers)
    ranked = sorted(takers, key=lambda one: -one.connections)
    who = "; ".join(f"{one.name} {one.connections}" + (f" ({one.sum})" if one.sum else "") for one in ranked)
    short = f", {total - free} too many" if total > free else ""
    message = f"{total} of {free} connections ({most} − {reserved} reserved){short}: {who}"
    detail = {
        "max_connections": most,
        "reserved": reserved,
        "planned": total,
        "takers": [{"name": one.name, "connections": one.connections, "sum": one.sum} for one in ranked],
    }
    return Fact(total / free, detail, message)


@observation(
    "postgres.connections_planned",
    Dimension.RATIO,
    of="postgres",
    parameters=PlanParameters,
    warning="> 80%",
    critical="> 100%",
    doc="Connections that the pools of all components and PgBouncer may open at their full size, as a share of"
    " max_connections without the reserved ones. It tells of a full server before one is refused. `replicas` of the"
    " book are the instances.",
)
async def connections_planned(postgres: PostgresConnector, said: PlanParameters) -> Fact:
    takers = of_instances(postgres.system.components, said.pools)
    if said.pgbouncer:
        takers += await _of_pgbouncer(postgres, said.pgbouncer, said.databases)
    if said.other:
        takers.append(Taker("others", said.other, ""))
    if not takers:
        raise Absent("nobody is said to take connections: set `pools`, or `pgbouncer`")
    ((most, reserved),) = await postgres.primary.read(SETTINGS)
    return planned(takers, most, reserved)


async def _of_pgbouncer(postgres: PostgresConnector, name: str, databases: Sequence[str]) -> list[Taker]:
    if name not in postgres.system.components:
        raise ReadFailed(f"`pgbouncer` names {name!r}, which is no component")
    bouncer = postgres.connections.of(name)
    if not isinstance(bouncer, PgBouncerConnector):
        raise ReadFailed(f"{name} is no pgbouncer, but {bouncer.component.kind}")
    return of_pgbouncer(name, await bouncer.show("DATABASES"), await bouncer.show("POOLS"), databases)
