"""Answers kept in Redis for a short time. Without Redis the answer is computed each time."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

from prometheus_client import Counter
from redis import Redis
from redis.exceptions import RedisError

from src.settings import settings

TIMEOUT_SECONDS = 0.5
LOOKUPS = Counter("api_cache_lookups_total", "Answers looked for in the cache.", ["result"])


@cache
def redis_cache() -> Redis:
    """The connection pool of this process to the cache."""
    return Redis.from_url(settings().redis_url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS)


def cached(key: str, compute: Callable[[], Any]) -> Any:
    """The stored answer under `key`, or the computed one, stored for CACHE_TTL seconds as JSON."""
    name = f"cache:{key}"
    try:
        stored = redis_cache().get(name)
        LOOKUPS.labels("miss" if stored is None else "hit").inc()
        if stored is not None:
            return json.loads(stored)  # type: ignore[arg-type]
    except RedisError:
        return compute()
    answer = json.loads(json.dumps(compute(), default=str))
    try:
        redis_cache().set(name, json.dumps(answer), ex=settings().cache_ttl)
    except RedisError:
        return answer
    return answer
