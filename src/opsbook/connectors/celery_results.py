"""What Celery's Redis result backend keeps of tasks (celery.backends.base: KeyValueStoreBackend), and where a task is.

A result is JSON under `celery-task-meta-ID`; with `result_extended` it names its task, arguments and queue.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from opsbook.connectors.celery import UNACKNOWLEDGED, CeleryConnector
from opsbook.connectors.redis import RedisConnector

if TYPE_CHECKING:
    from redis.asyncio import Redis

PREFIX = "celery-task-meta-"
ENDED = ("SUCCESS", "FAILURE", "REVOKED", "REJECTED", "IGNORED")
PAGE = 1000
LOOKS, LOOK_SECONDS = 2, 0.5
"""A message is nowhere for a moment while a worker takes it from the queue: it is looked for twice."""

Result = Mapping[str, Any]


async def result_of(redis: RedisConnector, task_id: str) -> Result | None:
    """The result of one task; None where there is none (yet)."""
    text: Any = await redis.ask(lambda client: client.get(PREFIX + task_id))
    return _result(text)


async def results_of(redis: RedisConnector, at_most: int) -> list[Result]:
    """The results that are kept, up to a number that is looked at."""
    found: dict[str, Result] = {}
    cursor = 0
    while True:
        cursor, keys, texts = await redis.ask(partial(_page, cursor=cursor))
        found |= {key: one for key, text in zip(keys, texts, strict=True) if (one := _result(text)) is not None}
        if not cursor or len(found) >= at_most:
            return list(found.values())


async def _page(client: Redis, cursor: int) -> tuple[int, list[Any], list[Any]]:
    cursor, keys = await client.scan(cursor, match=f"{PREFIX}*", count=PAGE)
    return cursor, keys, await client.mget(keys) if keys else []


def _result(text: Any) -> Result | None:
    try:
        one = json.loads(text or b"")
    except ValueError:
        return None
    return one if isinstance(one, dict) else None


async def anywhere(celery: CeleryConnector, task_id: str, queue: str) -> bool:
    """Whether there is any sign of a task: in its queue, taken by a worker, running, or ended."""
    for look in range(LOOKS):
        if look:
            await asyncio.sleep(LOOK_SECONDS)
        # In the order in which a message moves, so that one that moves meanwhile is met later.
        for name in celery.lists(queue):
            if await _in_list(celery.broker, name, task_id):
                return True
        taken = await celery.broker.ask(lambda client: client.hvals(UNACKNOWLEDGED))
        if any(task_id in str(one) for one in taken):
            return True
        replies = await celery.broadcast("query_task", {"ids": [task_id]})
        if any(isinstance(said, dict) and task_id in said for said in replies.values()):
            return True
        if await result_of(celery.results, task_id) is not None:
            return True
    return False


async def _in_list(redis: RedisConnector, name: str, task_id: str) -> bool:
    start = 0
    while True:
        page = await redis.ask(lambda client, at=start: client.lrange(name, at, at + PAGE - 1))  # type: ignore[misc]
        if any(task_id in message for message in page):
            return True
        if len(page) < PAGE:
            return False
        start += PAGE
