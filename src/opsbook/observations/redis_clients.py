"""Clients of a Redis or Valkey server, and the commands of theirs that took long."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from pydantic import Field

from opsbook.book.catalogue import Parameters
from opsbook.book.units import Dimension
from opsbook.book.values import Duration
from opsbook.connectors.contract import Fact
from opsbook.connectors.redis import RedisConnector
from opsbook.observations.registry import observation

SLOW_ENTRIES = 128
"""The server's default length of the log."""
SHOWN = 10


@observation("redis.clients", Dimension.COUNT, of="redis", doc="Connected clients, opsbook among them.")
async def clients(redis: RedisConnector) -> float:
    return float((await redis.info())["connected_clients"])


@observation(
    "redis.clients_ratio",
    Dimension.RATIO,
    of="redis",
    warning="> 80%",
    critical="> 90%",
    doc="Connected clients as a share of maxclients.",
)
async def clients_ratio(redis: RedisConnector) -> Fact:
    info = await redis.info()
    most = int(info.get("maxclients") or await _configured(redis))
    return Fact(int(info["connected_clients"]) / most, message=f"{info['connected_clients']} of {most}")


async def _configured(redis: RedisConnector) -> str:
    # Before 7.0, INFO does not tell it.
    found = await redis.ask(lambda client: client.config_get("maxclients"))
    return str(found["maxclients"])


@observation(
    "redis.blocked_clients",
    Dimension.COUNT,
    of="redis",
    doc="Clients that wait in a blocking command. Idle Celery workers do: it is a fault only where nobody should.",
)
async def blocked_clients(redis: RedisConnector) -> float:
    return float((await redis.info())["blocked_clients"])


@observation(
    "redis.rejected_connections",
    Dimension.COUNT,
    of="redis",
    warning="> 0",
    doc="Connections refused because maxclients was reached, since the server started.",
)
async def rejected_connections(redis: RedisConnector) -> float:
    return float((await redis.info())["rejected_connections"])


class SlowParameters(Parameters):
    slower_than: Duration = Field(timedelta(milliseconds=10), description="commands that took longer count")
    within: Duration = Field(timedelta(hours=1), description="how far back")


@observation(
    "redis.slowlog",
    Dimension.COUNT,
    of="redis",
    parameters=SlowParameters,
    warning="> 10",
    doc="Commands of the slow log, which holds what took longer than the server's slowlog-log-slower-than. At most the "
    "last 128 are read.",
)
async def slowlog(redis: RedisConnector, parameters: SlowParameters) -> Fact:
    entries: list[dict[str, Any]] = await redis.ask(lambda client: client.slowlog_get(SLOW_ENTRIES))
    since = time.time() - parameters.within.total_seconds()
    least = parameters.slower_than.total_seconds() * 1e6
    slow = [entry for entry in entries if entry["start_time"] >= since and entry["duration"] > least]
    worst = sorted(slow, key=lambda entry: -int(entry["duration"]))[:SHOWN]
    rows = [{"ms": entry["duration"] / 1000, "command": command(entry["command"])} for entry in worst]
    message = (
        f"the {SLOW_ENTRIES} entries that are read all count: there may be more" if len(slow) >= SLOW_ENTRIES else ""
    )
    return Fact(float(len(slow)), rows, message)


def command(written: str | bytes) -> str:
    """The command and its key. Further arguments are the users' data and stay where they are."""
    text = written.decode(errors="replace") if isinstance(written, bytes) else written
    words = text.split()
    shown = " ".join(words[:2])[:80]
    return f"{shown} …" if len(words) > 2 else shown
