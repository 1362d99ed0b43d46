"""Walks through a Redis database in small batches at a bounded rate: keys unlinked by pattern, expired ones freed.

One batch of 100 keys holds the server's only thread for about a millisecond; UNLINK frees large values in another one.
After each second the walk yields its position, from which it goes on after a crash.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from opsbook.connectors.change import Change, Done, Json, More, Sink
from opsbook.connectors.executors.redis import RedisChanges
from opsbook.connectors.registry import executor
from opsbook.errors import Refused

if TYPE_CHECKING:
    from redis.asyncio import Redis

SLICE_SECONDS = 1.0
KEYS_A_SCAN = 100
BINDING = "_kombu.binding."


class _Pace:
    """No faster than asked for, so that others get their turn."""

    def __init__(self, a_second: int) -> None:
        self.a_second, self.started, self.done = a_second, time.monotonic(), 0

    async def after(self, count: int) -> None:
        self.done += count
        ahead = self.done / self.a_second - (time.monotonic() - self.started)
        if ahead > 0:
            await asyncio.sleep(ahead)

    @property
    def over(self) -> bool:
        return time.monotonic() - self.started > SLICE_SECONDS


@executor("redis-unlink")
class Unlink(RedisChanges):
    """`component`, `pattern`, `spare` (keys that stay), `ceiling`, `a_second`. result: `unlinked`."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        """Raises Refused at the ceiling: what was unlinked until then is gone."""
        effect, pace = change.effect, _Pace(change.effect["a_second"])
        position, gone = (cursor or {}).get("position", 0), (cursor or {}).get("gone", 0)
        spare = set(effect["spare"])
        found: list[str] = []
        async with self.open(change) as client:
            while True:
                position, unlinked, found = await _step(client, position, effect["pattern"], found)
                gone += unlinked
                found = [one for one in found if one not in spare and not one.startswith(BINDING)]
                if gone + len(found) > effect["ceiling"]:
                    raise Refused(
                        f"more than {effect['ceiling']:,} keys match {effect['pattern']!r}; {gone:,} are unlinked",
                        "raise `most` if that is meant",
                    )
                if not position or pace.over:
                    # What was found last goes before the position is told: a walk that goes on there misses nothing.
                    gone += await client.unlink(*found) if found else 0
                    break
                await pace.after(max(unlinked, 1))
        if position:
            return More({"position": position, "gone": gone}, f"{gone:,} keys unlinked")
        await out.write(f"{gone:,} keys unlinked\n")
        return Done({"unlinked": gone})


async def _step(client: Redis, position: int, pattern: str, keys: list[str]) -> tuple[int, int, list[str]]:
    """Unlink these keys and look for further ones, in one round trip. The position, how many went, and the next."""
    async with client.pipeline(transaction=False) as pipeline:
        if keys:
            pipeline.unlink(*keys)
        pipeline.scan(position, match=pattern, count=KEYS_A_SCAN)
        answers: list[Any] = await pipeline.execute()
    position, found = answers[-1]
    return position, int(answers[0]) if keys else 0, list(found)


@executor("redis-expire")
class Expire(RedisChanges):
    """`component`, `a_second`. result: `looked_at`, and `expired`, how many keys the server freed meanwhile."""

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        """Raises ChangeFailed or NotReached."""
        pace = _Pace(change.effect["a_second"])
        async with self.open(change) as client:
            state = cursor or {"position": 0, "looked_at": 0, "before": (await client.info("stats"))["expired_keys"]}
            while True:
                position, found = await client.scan(state["position"], count=KEYS_A_SCAN)
                state = {**state, "position": position, "looked_at": state["looked_at"] + len(found)}
                if not position or pace.over:
                    break
                await pace.after(KEYS_A_SCAN)
            expired = max(0, (await client.info("stats"))["expired_keys"] - state["before"])
        if state["position"]:
            return More(state, f"{state['looked_at']:,} keys looked at, {expired:,} had expired")
        await out.write(f"{expired:,} keys had expired, of {state['looked_at'] + expired:,}\n")
        return Done({"looked_at": state["looked_at"], "expired": expired})
