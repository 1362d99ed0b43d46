"""Applies changes of Redis and Valkey: one command, a wait for a background save, keys unlinked in bounded batches.

Commands go as their words, never as text that is parsed. A retry over a broken connection is switched off: whether a
command arrived is then not known, and the engine decides by what the change says.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, More, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.redis import RedisConnector
from opsbook.connectors.registry import executor
from opsbook.errors import Refused

if TYPE_CHECKING:
    from redis.asyncio import Redis

COMMAND_SECONDS = 30.0
SLICE_SECONDS = 1.0
"""How long unlinking goes on before it gives its cursor back, so that little is done again after a crash."""
KEYS_A_SCAN = 1000
"""Keys that one SCAN and one UNLINK handle: about a millisecond of the server's one thread."""


class _Client:
    """Opens a client of its own per change: facts and changes share no connection."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    @asynccontextmanager
    async def open(self, change: Change) -> AsyncIterator[Redis]:
        from redis.asyncio import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        connector = self.connections.of(change.effect["component"])
        assert isinstance(connector, RedisConnector), "planned for a redis component"
        url = await asyncio.to_thread(connector.system.resolve, connector.component.url)
        client: Redis = Redis.from_url(
            url, decode_responses=True, encoding_errors="surrogateescape", socket_timeout=COMMAND_SECONDS,
            socket_connect_timeout=5, client_name="opsbook-change", retry=Retry(NoBackoff(), 0),
        )  # fmt: skip
        try:
            await _guarded(client, change)
            yield client
        finally:
            await client.aclose()

    async def end(self, key: str, change: Change) -> bool:
        """A command ends with its connection."""
        return True


async def _guarded(client: Redis, change: Change) -> None:
    """The guard is a list of keys that must not be there: queues of a broker."""
    from redis.exceptions import ResponseError

    try:
        for name in (change.guard or {}).get("absent", ()):
            if await client.exists(name):
                raise Refused(
                    f"the key {name!r} is there now: this database holds a Celery queue", "flush the cache's database"
                )
    except ResponseError as error:
        raise ChangeFailed(str(error), "check the rights of this user (ACL)") from error


@executor("redis")
class Command(_Client):
    """One command: `{"component", "command": [words]}`."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        from redis.exceptions import ResponseError

        async with self.open(change) as client:
            try:
                answer = await client.execute_command(*change.effect["command"])  # type: ignore[no-untyped-call]
            except ResponseError as error:
                raise ChangeFailed(
                    f"{change.effect['component']}: {error}", "the server refused it; nothing changed"
                ) from error
        return Done({"answer": answer})


@executor("redis-save")
class Save(_Client):
    """BGSAVE and the wait for its end: `{"component", "within": seconds}`."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        from redis.exceptions import ResponseError

        async with self.open(change) as client:
            started = time.monotonic()
            info: dict[str, Any] = await client.info("persistence")
            if not info["rdb_bgsave_in_progress"]:
                try:
                    await client.execute_command("BGSAVE", "SCHEDULE")  # type: ignore[no-untyped-call]
                except ResponseError as error:
                    raise ChangeFailed(f"{change.effect['component']}: {error}", "see its log") from error
            saves = info.get("rdb_saves")
            while True:
                info = await client.info("persistence")
                if not info["rdb_bgsave_in_progress"] and (saves is None or info.get("rdb_saves", saves) != saves):
                    break
                if time.monotonic() - started > change.effect["within"]:
                    raise ChangeFailed("the background save did not end in time", "see the server's log and its disk")
                await asyncio.sleep(0.1)
            if info["rdb_last_bgsave_status"] != "ok":
                raise ChangeFailed(
                    "the background save failed", "see the server's log: disk full, or no memory to fork"
                )
            return Done({"seconds": round(time.monotonic() - started, 2), "saved_at": info["rdb_last_save_time"]})


@executor("redis-unlink")
class Unlink(_Client):
    """Keys by pattern, a SCAN and an UNLINK at a time: `{"component", "pattern", "ceiling", "a_second"}`."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        effect = change.effect
        position, gone = (cursor or {}).get("position", 0), (cursor or {}).get("gone", 0)
        started, here = time.monotonic(), 0
        async with self.open(change) as client:
            while True:
                position, keys = await client.scan(position, match=effect["pattern"], count=KEYS_A_SCAN)
                if gone + len(keys) > effect["ceiling"]:
                    raise Refused(
                        f"more than {effect['ceiling']:,} keys match {effect['pattern']!r}; {gone:,} are unlinked",
                        "raise `most` if that is meant",
                    )
                if keys:
                    count = await client.unlink(*keys)
                    gone, here = gone + count, here + count
                if not position:
                    await out.write(f"{gone:,} keys unlinked\n")
                    return Done({"unlinked": gone})
                if time.monotonic() - started > SLICE_SECONDS:
                    return More({"position": position, "gone": gone}, f"{gone:,} keys unlinked")
                # No faster than asked for, so that others get their turn.
                await asyncio.sleep(max(0.0, here / effect["a_second"] - (time.monotonic() - started)))
