"""A Redis or Valkey server as a whole: is it there, how full is it, how well does it serve."""

from __future__ import annotations

from opsbook.book.units import Dimension
from opsbook.connectors.contract import Fact
from opsbook.connectors.redis import RedisConnector
from opsbook.observations.registry import observation


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
    return Fact(True, message=f"{info.get('server_name', 'redis')} {info['redis_version']} answers")
