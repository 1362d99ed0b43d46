"""Keys of one Redis database: removed by pattern without a stall, or all of them where nothing but a cache is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from fnmatch import fnmatchcase

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.celery import CeleryBroker, CeleryConnector
from opsbook.connectors.change import Change
from opsbook.connectors.redis import RedisConnector
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation

COUNTED = 100_000
"""Keys that planning looks at, at most, to tell how many a pattern meets."""


def redis_of(facts: Facts, component: str) -> RedisConnector:
    """Raises Refused for what is no Redis."""
    found = facts.connector(component)
    if not isinstance(found, RedisConnector):
        raise Refused(f"{component} is no redis component", "name one that is")
    return found


async def queues_in(facts: Facts, component: str) -> list[str]:
    """Keys of Celery queues and bindings that this database holds."""
    names = {"unacked", "unacked_index", "unacked_mutex"}
    for name, other in facts.system.components.items():
        if isinstance(other, CeleryBroker):
            celery = facts.connector(name)
            assert isinstance(celery, CeleryConnector)
            names.update(key for queue in other.queues for key in celery.lists(queue))
    redis = redis_of(facts, component)
    held = [name for name in sorted(names) if await _exists(redis, name)]
    _, bindings = await redis.ask(lambda client: client.scan(0, match="_kombu.binding.*", count=1000))
    return [*held, *map(str, bindings)]


async def _exists(redis: RedisConnector, name: str) -> bool:
    return bool(await redis.ask(lambda client: client.exists(name)))


class Flush(OperationParameters):
    pass


@operation(
    "redis.flush",
    Risk.DESTRUCTIVE,
    of="redis",
    idempotent=True,
    parameters=Flush,
    doc="Empties the one database that the component's URL names. Refused where it holds a Celery queue or is the "
    "broker of a component: the tasks in it would be lost.",
)
class _Flush(Repeatable):
    async def plan(self, parameters: Flush, facts: Facts) -> AsyncIterator[Change]:
        redis = redis_of(facts, parameters.of)
        brokers = [
            n for n, c in facts.system.components.items() if isinstance(c, CeleryBroker) and c.broker == parameters.of
        ]
        if brokers:
            raise Refused(
                f"{parameters.of} is the broker of {', '.join(brokers)}: flushing it would lose their waiting tasks",
                "flush the component of the cache's own database, or unlink keys by pattern",
            )
        held = await queues_in(facts, parameters.of)
        if held:
            raise Refused(
                f"the database of {parameters.of} holds Celery keys ({', '.join(held[:3])}): its tasks would be lost",
                "give the cache a database of its own, or unlink its keys by pattern",
            )
        size = await redis.ask(lambda client: client.dbsize())
        facts.record(f"{parameters.of}: keys", size)
        yield Change(
            "redis",
            {"component": parameters.of, "command": ["FLUSHDB", "ASYNC"]},
            evidence={"keys": size},
            guard={"absent": ["celery", "unacked", "_kombu.binding.celery"]},
            inverse="the keys are gone; a cache fills itself again",
        )


class Unlink(OperationParameters):
    pattern: str = Field(min_length=2, description="glob pattern of the keys, e.g. api:*; `*` alone is refused")
    most: int = Field(1_000_000, gt=0, description="the most keys that may go; with more it stops and says so")
    a_second: int = Field(50_000, gt=0, description="at most so many keys a second")


@operation(
    "redis.unlink",
    Risk.DESTRUCTIVE,
    of="redis",
    idempotent=True,
    parameters=Unlink,
    doc="Removes keys by pattern with SCAN and UNLINK in small batches at a bounded rate: never KEYS, and the memory "
    "is freed in the background. Resumes where it was cut.",
)
class _Unlink(Repeatable):
    async def plan(self, parameters: Unlink, facts: Facts) -> AsyncIterator[Change]:
        if not parameters.pattern.strip("*?"):
            raise Refused(f"the pattern {parameters.pattern!r} means every key", "use redis.flush, if that is meant")
        held = await queues_in(facts, parameters.of)
        queue = next((key for key in held if fnmatchcase(key, parameters.pattern)), None)
        if queue:
            raise Refused(
                f"the pattern {parameters.pattern!r} meets the Celery key {queue!r}", "choose a narrower pattern"
            )
        keys = await facts.observe("redis.keys", parameters.of, pattern=parameters.pattern, at_most=COUNTED)
        yield Change(
            "redis-unlink",
            {
                "component": parameters.of,
                "pattern": parameters.pattern,
                "ceiling": parameters.most,
                "a_second": parameters.a_second,
            },
            evidence={"keys": keys.value, "looked at": keys.message or f"at most {COUNTED:,}"},
            inverse="the keys are gone; a cache fills itself again",
        )
