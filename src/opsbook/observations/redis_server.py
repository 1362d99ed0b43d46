"""A Redis or Valkey server as a whole: is it there, how fast does it answer, how does it stand with its replicas."""

from __future__ import annotations

import time

from opsbook.book.units import Dimension
from opsbook.connectors.contract import Fact, ReadFailed
from opsbook.connectors.redis import RedisConnector
from opsbook.observations.registry import observation

PINGS = 5


@observation(
    "redis.up",
    Dimension.STATE,
    of="redis",
    vital=True,
    critical="is down",
    doc="Whether the server answers PING.",
)
async def up(redis: RedisConnector) -> Fact:
    await redis.ask(lambda client: client.ping())
    info = await redis.info()
    return Fact(True, message=f"{info.get('server_name', 'redis')} {version_of(info)} answers")


def version_of(info: dict[str, str]) -> str:
    """The server's own version; Valkey also tells which Redis it stands in for."""
    return info.get("valkey_version") or info["redis_version"]


@observation("redis.version", Dimension.TEXT, of="redis", doc="The version of the server.")
async def version(redis: RedisConnector) -> str:
    return version_of(await redis.info())


@observation(
    "redis.uptime",
    Dimension.DURATION,
    of="redis",
    doc="Time since the server was started. A small value is a restart that somebody should know of.",
)
async def uptime(redis: RedisConnector) -> float:
    return float((await redis.info())["uptime_in_seconds"])


@observation(
    "redis.response_time",
    Dimension.DURATION,
    of="redis",
    doc="The median time of five PINGs over an open connection: the network and whatever keeps the server busy.",
)
async def response_time(redis: RedisConnector) -> float:
    await redis.ask(lambda client: client.ping())
    times = []
    for _ in range(PINGS):
        started = time.perf_counter()
        await redis.ask(lambda client: client.ping())
        times.append(time.perf_counter() - started)
    return sorted(times)[PINGS // 2]


@observation("redis.operations", Dimension.RATE, of="redis", doc="Commands a second that the server runs now.")
async def operations(redis: RedisConnector) -> float:
    return float((await redis.info())["instantaneous_ops_per_sec"])


@observation("redis.role", Dimension.TEXT, of="redis", doc="master or slave, as the server calls itself.")
async def role(redis: RedisConnector) -> str:
    return str((await redis.info())["role"])


@observation(
    "redis.replicas",
    Dimension.COUNT,
    of="redis",
    doc='Replicas that are connected to this server. Say how many there should be: `critical: "< 1"`.',
)
async def replicas(redis: RedisConnector) -> Fact:
    info = await redis.info()
    return Fact(float(info["connected_slaves"]), _replicas(info))


def _replicas(info: dict[str, dict[str, object]]) -> list[dict[str, object]]:
    return [info[f"slave{n}"] for n in range(int(str(info["connected_slaves"]))) if f"slave{n}" in info]


@observation(
    "redis.replication_lag",
    Dimension.DURATION,
    of="redis",
    warning="> 10s",
    critical="> 60s",
    doc="On a replica: time since it last heard from its master, or since the link went down. On a master: time since "
    "the replica that has been silent longest was heard. Whole seconds. Unknown where there is no replica.",
)
async def replication_lag(redis: RedisConnector) -> Fact:
    info = await redis.info()
    if info["role"] == "slave":
        link = info["master_link_status"]
        if link == "up":
            return Fact(float(info["master_last_io_seconds_ago"]), message="the link to the master is up")
        seconds = float(info.get("master_link_down_since_seconds", -1))
        if seconds < 0:
            raise ReadFailed(f"{redis.name}: the link to the master is {link} and never was up")
        return Fact(seconds, message=f"the link to the master is {link}")
    known = _replicas(info)
    if not known:
        raise ReadFailed(f"no replica is connected to {redis.name}")
    return Fact(max(float(str(one["lag"])) for one in known), known)
