"""Whether a Redis or Valkey server gets its data onto disk."""

from __future__ import annotations

import time

from opsbook.book.units import Dimension
from opsbook.connectors.contract import Fact
from opsbook.connectors.redis import RedisConnector
from opsbook.observations.registry import observation

OUTCOMES = {
    "rdb_last_bgsave_status": "the last snapshot",
    "aof_last_write_status": "the last write of the append-only file",
    "aof_last_bgrewrite_status": "the last rewrite of the append-only file",
}


@observation(
    "redis.last_save",
    Dimension.DURATION,
    of="redis",
    doc="Time since the last snapshot that succeeded; since its start where the server made none.",
)
async def last_save(redis: RedisConnector) -> Fact:
    info = await redis.info()
    changes = info["rdb_changes_since_last_save"]
    age = max(0.0, time.time() - float(info["rdb_last_save_time"]))
    return Fact(age, {"changes_since": changes}, f"{changes:,} changes since")


@observation(
    "redis.persistence",
    Dimension.STATE,
    of="redis",
    critical="is down",
    doc="Whether the last snapshot and the last writes of the append-only file succeeded.",
)
async def persistence(redis: RedisConnector) -> Fact:
    info = await redis.info()
    wrong = [what for key, what in OUTCOMES.items() if info.get(key, "ok") != "ok"]
    return Fact(not wrong, message=f"failed: {', '.join(wrong)}" if wrong else "the last attempts succeeded")
