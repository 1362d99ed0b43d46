"""Memory of a Redis or Valkey server, and what it gives up when there is too little of it."""

from __future__ import annotations

from pydantic import Field

from opsbook.book.catalogue import Parameters
from opsbook.book.units import Dimension, show
from opsbook.book.values import Size
from opsbook.connectors.contract import Fact, ReadFailed
from opsbook.connectors.redis import RedisConnector
from opsbook.observations.registry import Absent, observation


def _bytes(number: float) -> str:
    return show(number, Dimension.SIZE)


@observation("redis.memory", Dimension.SIZE, of="redis", doc="Bytes that the data and the server itself use.")
async def memory(redis: RedisConnector) -> Fact:
    info = await redis.info()
    return Fact(float(info["used_memory"]), {"peak": info["used_memory_peak"], "process": info["used_memory_rss"]})


@observation(
    "redis.memory_ratio",
    Dimension.RATIO,
    of="redis",
    warning="> 75%",
    critical="> 90%",
    doc="Memory used as a share of maxmemory, above which keys are evicted or writes refused. Unknown where "
    "maxmemory is not set: see redis.memory_of_host.",
)
async def memory_ratio(redis: RedisConnector) -> Fact:
    info = await redis.info()
    used, most = float(info["used_memory"]), float(info["maxmemory"])
    if not most:
        raise ReadFailed(f"{redis.name} has no maxmemory: nothing bounds it but the host")
    return Fact(used / most, message=f"{_bytes(used)} of {_bytes(most)}, then {info['maxmemory_policy']}")


@observation(
    "redis.memory_of_host",
    Dimension.RATIO,
    of="redis",
    warning="> 75%",
    critical="> 90%",
    doc="Memory that the server's process takes as a share of its host's.",
)
async def memory_of_host(redis: RedisConnector) -> Fact:
    info = await redis.info()
    used, most = float(info["used_memory_rss"]), float(info["total_system_memory"])
    return Fact(used / most, message=f"{_bytes(used)} of {_bytes(most)}")


class FragmentationParameters(Parameters):
    lost_above: Size = Field(0, description="while less memory than this is lost to it, the value is at most 1")


@observation(
    "redis.fragmentation",
    Dimension.COUNT,
    of="redis",
    parameters=FragmentationParameters,
    doc="Memory that the process takes over memory that it uses. 1 is best; above 1.5 much is lost; below 1 the host "
    "has swapped it out. On a server with little data it says little: set `lost_above`.",
)
async def fragmentation(redis: RedisConnector, parameters: FragmentationParameters) -> Fact:
    info = await redis.info()
    ratio, lost = float(info["mem_fragmentation_ratio"]), float(info["mem_fragmentation_bytes"])
    value = min(ratio, 1.0) if lost < parameters.lost_above else ratio
    return Fact(value, {"ratio": ratio, "lost_bytes": lost}, f"{_bytes(lost)} lost, ratio {ratio:.2f}")


@observation(
    "redis.hit_rate",
    Dimension.RATIO,
    of="redis",
    warning="< 90%",
    doc="Share of key look-ups that found their key, since the server started or its statistics were reset.",
)
async def hit_rate(redis: RedisConnector) -> Fact:
    info = await redis.info()
    hits, misses = int(info["keyspace_hits"]), int(info["keyspace_misses"])
    if not hits + misses:
        raise Absent("no key was looked up yet")
    return Fact(hits / (hits + misses), message=f"{hits:,} hits, {misses:,} misses")


@observation(
    "redis.evictions",
    Dimension.COUNT,
    of="redis",
    doc="Keys that were evicted for want of memory since the server started. The count only grows: write "
    '"> 100% of 1h" to hear of new ones.',
)
async def evictions(redis: RedisConnector) -> Fact:
    info = await redis.info()
    return Fact(float(info["evicted_keys"]), message=f"policy {info['maxmemory_policy']}")


@observation(
    "redis.expired_keys",
    Dimension.COUNT,
    of="redis",
    doc="Keys that reached the end of their time to live since the server started.",
)
async def expired_keys(redis: RedisConnector) -> float:
    return float((await redis.info())["expired_keys"])
