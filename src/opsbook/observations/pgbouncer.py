"""PgBouncer: does it answer, do clients wait for a connection, how full are its pools."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from opsbook.book.catalogue import Parameters
from opsbook.book.units import Dimension
from opsbook.connectors.contract import Fact, ReadFailed
from opsbook.connectors.pgbouncer import CONSOLE, PgBouncerConnector
from opsbook.observations.registry import Absent, observation

SHOWN = ("database", "user", "cl_active", "cl_waiting", "sv_active", "sv_idle", "maxwait", "pool_mode")


class PoolParameters(Parameters):
    database: str = Field("", description="one database of PgBouncer; all of them where left out")


@observation(
    "pgbouncer.up",
    Dimension.STATE,
    of="pgbouncer",
    vital=True,
    critical="is down",
    doc="Whether the console answers.",
)
async def up(pgbouncer: PgBouncerConnector) -> Fact:
    (row,) = await pgbouncer.show("VERSION")
    return Fact(True, message=f"{row['version']} answers")


@observation(
    "pgbouncer.waiting",
    Dimension.COUNT,
    of="pgbouncer",
    parameters=PoolParameters,
    warning="> 0",
    critical="> 20",
    doc="Clients that have sent a query and wait for a server connection.",
)
async def waiting(pgbouncer: PgBouncerConnector, parameters: PoolParameters) -> Fact:
    pools = await _pools(pgbouncer, parameters)
    return Fact(float(sum(pool["cl_waiting"] for pool in pools)), _shown(pools))


@observation(
    "pgbouncer.max_wait",
    Dimension.DURATION,
    of="pgbouncer",
    parameters=PoolParameters,
    warning="> 1s",
    critical="> 10s",
    doc="How long the client has waited that waits longest for a server connection; 0 where none waits.",
)
async def max_wait(pgbouncer: PgBouncerConnector, parameters: PoolParameters) -> Fact:
    pools = await _pools(pgbouncer, parameters)
    return Fact(max((pool["maxwait"] + pool["maxwait_us"] / 1e6 for pool in pools), default=0.0), _shown(pools))


@observation(
    "pgbouncer.saturation",
    Dimension.RATIO,
    of="pgbouncer",
    parameters=PoolParameters,
    warning="> 80%",
    critical="> 95%",
    doc="Server connections in use as a share of the pool's size, of the pool where it is greatest.",
)
async def saturation(pgbouncer: PgBouncerConnector, parameters: PoolParameters) -> Fact:
    pools = await _pools(pgbouncer, parameters)
    sizes = {row["name"]: int(row["pool_size"]) for row in await pgbouncer.show("DATABASES")}
    used = [(pool["sv_active"] / sizes[pool["database"]], pool) for pool in pools if sizes.get(pool["database"])]
    if not used:
        raise Absent("no pool has been used yet")
    ratio, pool = max(used, key=lambda one: one[0])
    message = f"{pool['sv_active']} of {sizes[pool['database']]} for {pool['user']} in {pool['database']}"
    return Fact(ratio, _shown(pools), message)


@observation(
    "pgbouncer.clients_ratio",
    Dimension.RATIO,
    of="pgbouncer",
    warning="> 80%",
    critical="> 95%",
    doc="Client connections as a share of max_client_conn.",
)
async def clients_ratio(pgbouncer: PgBouncerConnector) -> Fact:
    settings = {row["key"]: row["value"] for row in await pgbouncer.show("CONFIG")}
    lists = {row["list"]: int(row["items"]) for row in await pgbouncer.show("LISTS")}
    used, most = lists["used_clients"], int(settings["max_client_conn"])
    return Fact(used / most, message=f"{used} of {most}")


async def _pools(pgbouncer: PgBouncerConnector, parameters: PoolParameters) -> list[dict[str, Any]]:
    wanted = parameters.database
    if wanted:
        names = [row["name"] for row in await pgbouncer.show("DATABASES")]
        if wanted not in names:
            raise ReadFailed(f"{pgbouncer.name} has no database {wanted!r}, but {', '.join(names)}")
    pools = await pgbouncer.show("POOLS")
    return [pool for pool in pools if pool["database"] != CONSOLE and wanted in ("", pool["database"])]


def _shown(pools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: pool[key] for key in SHOWN if key in pool} for pool in pools]
