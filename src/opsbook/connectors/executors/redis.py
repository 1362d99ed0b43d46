"""Applies changes of Redis and Valkey that are one command, a setting, or a wait for a background save.

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
from opsbook.connectors.executors.secrets import NotReached
from opsbook.connectors.redis import RedisConnector
from opsbook.connectors.registry import executor
from opsbook.errors import Refused

if TYPE_CHECKING:
    from redis.asyncio import Redis

COMMAND_SECONDS = 30.0
CONNECT_SECONDS = 5.0
LOOK_SECONDS = 0.1
SCANNED = 10_000


class RedisChanges:
    """Opens a client of its own per change: facts and changes share no connection."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    @asynccontextmanager
    async def open(self, change: Change) -> AsyncIterator[Redis]:
        """A client on the component's database. Raises NotReached; a refusal of the server is a ChangeFailed."""
        from redis.asyncio import Redis
        from redis.backoff import NoBackoff
        from redis.exceptions import ConnectionError, ResponseError
        from redis.retry import Retry

        name = change.effect["component"]
        connector = self.connections.of(name)
        assert isinstance(connector, RedisConnector), "planned for a redis component"
        url = await asyncio.to_thread(connector.system.resolve, connector.component.url)
        client: Redis = Redis.from_url(
            url, decode_responses=True, encoding_errors="surrogateescape", socket_timeout=COMMAND_SECONDS,
            socket_connect_timeout=CONNECT_SECONDS, client_name="opsbook-change", retry=Retry(NoBackoff(), 0),
        )  # fmt: skip
        try:
            try:
                await client.ping()
            except ConnectionError as error:
                raise NotReached(f"{name}: {error}", f"is the server of {connector.component.url} running?") from error
            yield client
        except ResponseError as error:
            raise ChangeFailed(f"{name}: {error}", "the server refused it; its ACL may not let this user") from error
        finally:
            await client.aclose()

    async def end(self, key: str, change: Change) -> bool:
        """A command ends with its connection."""
        return True


@executor("redis")
class Command(RedisChanges):
    """One command: `component`, `command` (its words), `database` where it was planned for that one alone.

    guard: `absent`, names of keys, and `absent_like`, a pattern: where one is there the command is refused. Names are
    watched, so that one that comes in the last moment stops it too.
    """

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        """Raises Refused, ChangeFailed, NotReached."""
        guard = change.guard or {}
        async with self.open(change) as client:
            now = int(client.connection_pool.connection_kwargs.get("db") or 0)
            if now != change.effect.get("database", now):
                name = change.effect["component"]
                raise Refused(f"{name} is database {now} now, and another one was planned for", "plan anew")
            if guard.get("absent_like"):
                await _none_like(client, guard["absent_like"])
            if not guard.get("absent"):
                answer = await client.execute_command(*change.effect["command"])  # type: ignore[no-untyped-call]
                return Done({"answer": answer})
            return Done({"answer": await _watched(client, change.effect["command"], guard["absent"])})


async def _watched(client: Redis, command: list[str], absent: list[str]) -> Json:
    from redis.exceptions import WatchError

    async with client.pipeline(transaction=True) as pipeline:
        await pipeline.watch(*absent)
        for name in absent:
            if await pipeline.exists(name):
                raise _holds(name)
        pipeline.multi()  # type: ignore[no-untyped-call]
        pipeline.execute_command(*command)
        try:
            (answer,) = await pipeline.execute()
        except WatchError:
            raise _holds(" or ".join(absent[:3])) from None
    return answer


async def _none_like(client: Redis, pattern: str) -> None:
    cursor = 0
    while True:
        cursor, found = await client.scan(cursor, match=pattern, count=SCANNED)
        if found:
            raise _holds(str(found[0]))
        if not cursor:
            return


def _holds(name: str) -> Refused:
    return Refused(f"the key {name!r} is there now: this database holds a Celery queue", "flush the cache's database")


@executor("redis-setting")
class Setting(RedisChanges):
    """`component`, `name`, `value`, `keep` (write the server's file). result: `now`, `kept`."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        """Raises ChangeFailed where the server takes the value not, or cannot write its file."""
        effect = change.effect
        async with self.open(change) as client:
            await client.config_set(effect["name"], effect["value"])
            if effect["keep"]:
                await client.config_rewrite()
            now = (await client.config_get(effect["name"])).get(effect["name"])
        await out.write(f"{effect['name']} is {now}\n")
        return Done({"now": now, "kept": effect["keep"]})


@executor("redis-save")
class Save(RedisChanges):
    """BGSAVE and the wait for its end: `component`, `within` seconds. A save that runs already is too old: it is
    waited for, and another one begun. result: `seconds`, `saved_at` (seconds since 1970).
    """

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        """Raises ChangeFailed where it does not end well in time."""
        started = time.monotonic()
        deadline = started + change.effect["within"]
        async with self.open(change) as client:
            await _idle(client, deadline)
            await client.bgsave(schedule=False)
            info = await _idle(client, deadline)
        if info["rdb_last_bgsave_status"] != "ok":
            raise ChangeFailed("the background save failed", "see the server's log: disk full, or no memory to fork")
        seconds = round(time.monotonic() - started, 2)
        await out.write(f"saved in {seconds:g} s\n")
        return Done({"seconds": seconds, "saved_at": info["rdb_last_save_time"]})


async def _idle(client: Redis, deadline: float) -> dict[str, Any]:
    """Waits until the server has no child that saves or rewrites."""
    while True:
        info: dict[str, Any] = await client.info("persistence")
        if not (info["rdb_bgsave_in_progress"] or info.get("aof_rewrite_in_progress")):
            return info
        if time.monotonic() > deadline:
            raise ChangeFailed("the background save did not end in time", "see the server's log and its disk")
        await asyncio.sleep(LOOK_SECONDS)
