"""Keys of a Redis or Valkey database: how many, how long, and values that an application left there."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import Field

from opsbook.book.catalogue import Cost, Parameters
from opsbook.book.units import Dimension
from opsbook.book.values import Duration
from opsbook.connectors.contract import Fact, ReadFailed
from opsbook.connectors.redis import RedisConnector
from opsbook.observations.registry import Absent, observation

BATCH = 1000
"""Keys that one SCAN looks at: well below a millisecond of the server's only thread."""
LENGTHS = {"list": "llen", "set": "scard", "zset": "zcard", "hash": "hlen", "stream": "xlen", "string": "strlen"}


@observation("redis.keys_total", Dimension.COUNT, of="redis", doc="Keys in all databases of the server.")
async def keys_total(redis: RedisConnector) -> Fact:
    info = await redis.info()
    databases = {name: value for name, value in info.items() if name.startswith("db") and isinstance(value, dict)}
    return Fact(float(sum(value["keys"] for value in databases.values())), databases)


class PatternParameters(Parameters):
    pattern: str = Field(description="a glob such as session:*")
    at_most: int = Field(100_000, ge=1, description="keys that are looked at; the count is a lower bound beyond")
    within: Duration = Field(timedelta(seconds=3), description="time it may take; the count is a lower bound beyond")


@observation(
    "redis.keys",
    Dimension.COUNT,
    of="redis",
    parameters=PatternParameters,
    cost=Cost.MODERATE,
    doc="Keys of the URL's database that match a pattern, found by SCAN. The message tells where not all "
    "were looked at.",
)
async def keys(redis: RedisConnector, parameters: PatternParameters) -> Fact:
    matched: set[str] = set()
    cursor, looked = 0, 0
    give_up = time.monotonic() + parameters.within.total_seconds()
    while True:
        cursor, found = await redis.ask(
            lambda client, at=cursor: client.scan(at, match=parameters.pattern, count=BATCH)  # type: ignore[misc]
        )
        matched.update(found)
        looked += BATCH
        if cursor == 0:
            return Fact(float(len(matched)), {"truncated": False})
        if looked >= parameters.at_most or time.monotonic() >= give_up:
            total = await redis.ask(lambda client: client.dbsize())
            message = f"at least: about {looked:,} of {total:,} keys were looked at"
            return Fact(float(len(matched)), {"truncated": True, "looked_at": looked, "keys": total}, message)


class KeyParameters(Parameters):
    key: str = Field(description="name of the key")


@observation(
    "redis.length",
    Dimension.COUNT,
    of="redis",
    parameters=KeyParameters,
    doc="Entries of a list, set, sorted set, hash or stream, or bytes of a string; 0 where the key is absent.",
)
async def length(redis: RedisConnector, parameters: KeyParameters) -> float:
    kind = str(await redis.ask(lambda client: client.type(parameters.key)))
    if kind == "none":
        return 0.0
    if kind not in LENGTHS:
        raise ReadFailed(f"{redis.name}: the key {parameters.key!r} is a {kind}, which has no length")
    return float(await redis.ask(lambda client: getattr(client, LENGTHS[kind])(parameters.key)))


@observation(
    "redis.value",
    Dimension.COUNT,
    of="redis",
    parameters=KeyParameters,
    doc="The number that a key holds.",
)
async def value(redis: RedisConnector, parameters: KeyParameters) -> float:
    found = await _string(redis, parameters.key)
    try:
        return float(found)
    except ValueError:
        raise ReadFailed(f"{redis.name}: the key {parameters.key!r} holds no number") from None


@observation(
    "redis.age",
    Dimension.DURATION,
    of="redis",
    parameters=KeyParameters,
    doc="Age of the moment that a key holds: seconds since 1970, or ISO 8601 (UTC where it names no zone). For what an "
    "application marks each time it has done something.",
)
async def age(redis: RedisConnector, parameters: KeyParameters) -> Fact:
    moment = moment_of(await _string(redis, parameters.key))
    if moment is None:
        raise ReadFailed(f"{redis.name}: the key {parameters.key!r} holds no time")
    return Fact((datetime.now(UTC) - moment).total_seconds(), message=f"at {moment.isoformat(timespec='seconds')}")


def moment_of(written: Any) -> datetime | None:
    """A moment written as seconds since 1970 or in ISO 8601; None for anything else."""
    try:
        return datetime.fromtimestamp(float(written), UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        pass
    try:
        moment = datetime.fromisoformat(str(written))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def _string(redis: RedisConnector, key: str) -> str:
    found = await redis.ask(lambda client: client.get(key))
    if found is None:
        raise Absent(f"the key {key!r} is not there")
    return str(found)
