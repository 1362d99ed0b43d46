"""Keys of one Redis database: removed by pattern without a stall, or all of them where nothing but a cache is there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.celery import CeleryBroker, CeleryConnector
from opsbook.connectors.change import Change
from opsbook.connectors.redis import RedisComponent, RedisConnector
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation

COUNTED = 100_000
"""Keys that planning looks at, at most, to tell how many a pattern meets."""
UNACKNOWLEDGED = ("unacked", "unacked_index", "unacked_mutex")
"""Where kombu keeps messages that workers have taken and not finished."""
BINDINGS = "_kombu.binding.*"
DEFAULT_QUEUE = "celery"
SCANNED = 10_000
"""Keys that one SCAN for bindings looks at: a few milliseconds."""


def redis_of(facts: Facts, component: str) -> RedisConnector:
    """Raises Refused for what is no Redis."""
    found = facts.connector(component)
    if not isinstance(found, RedisConnector):
        raise Refused(f"{component} is no redis component", "name one that is")
    return found


def address(facts: Facts, component: str) -> tuple[object, ...]:
    """Which database a component is: two components may be the same one. Raises MissingSecret."""
    from redis.connection import parse_url

    settings = facts.system.components[component]
    assert isinstance(settings, RedisComponent)
    parts = parse_url(facts.system.resolve(settings.url))  # type: ignore[no-untyped-call]
    where = parts.get("path") or (parts.get("host", "localhost"), parts.get("port", 6379))
    return (where, int(parts.get("db") or 0))


def served(facts: Facts, component: str, role: str) -> list[str]:
    """The Celery components whose `broker` or `results` is this database."""
    here = address(facts, component)
    found = []
    for name, other in facts.system.components.items():
        if isinstance(other, CeleryBroker):
            used = getattr(other, role) or other.broker
            if isinstance(facts.system.components[used], RedisComponent) and address(facts, used) == here:
                found.append(name)
    return found


def queue_keys(facts: Facts, component: str) -> list[str]:
    """Names of the keys that Celery may have here, whether they are there now or not: an empty queue has no key."""
    names = {DEFAULT_QUEUE, *UNACKNOWLEDGED}
    for name in served(facts, component, "broker"):
        celery = facts.connector(name)
        assert isinstance(celery, CeleryConnector)
        names.update(key for queue in celery.component.queues for key in celery.lists(queue))
    return sorted(names)


async def queues_in(facts: Facts, component: str) -> list[str]:
    """Keys of Celery queues and bindings that this database holds now."""
    redis, names = redis_of(facts, component), queue_keys(facts, component)
    held = [name for name in names if await _exists(redis, name)]
    cursor = 0
    while True:
        cursor, found = await redis.ask(lambda client, at=cursor: client.scan(at, match=BINDINGS, count=SCANNED))  # type: ignore[misc]
        held += map(str, found)
        if not cursor:
            return held


async def _exists(redis: RedisConnector, name: str) -> bool:
    return bool(await redis.ask(lambda client: client.exists(name)))


def matcher(pattern: str) -> re.Pattern[str]:
    """Redis' own globs as a regular expression: `*`, `?`, `[a-c]`, `[^a]`, and `\\` before what is meant as it is."""
    found, at = "", 0
    while at < len(pattern):
        one, at = pattern[at], at + 1
        if one == "*":
            found += ".*"
        elif one == "?":
            found += "."
        elif one == "\\" and at < len(pattern):
            found, at = found + re.escape(pattern[at]), at + 1
        elif one == "[":
            inside, at = _set(pattern, at)
            found += inside
        else:
            found += re.escape(one)
    return re.compile(found, re.DOTALL)


def _set(pattern: str, at: int) -> tuple[str, int]:
    """A set after its `[`, and where it ends. As the server reads it (stringmatchlen of its util.c): a range may be
    written backwards, the first `]` ends the set, and one that has no end goes to the end of the pattern.
    """
    negated = pattern.startswith("^", at)
    at, inside = at + negated, ""
    while at < len(pattern) and pattern[at] != "]":
        if pattern[at] == "\\" and at + 1 < len(pattern):
            inside, at = inside + re.escape(pattern[at + 1]), at + 2
        elif pattern.startswith("-", at + 1) and at + 2 < len(pattern):
            low, high = sorted((pattern[at], pattern[at + 2]))
            inside, at = inside + f"{re.escape(low)}-{re.escape(high)}", at + 3
        else:
            inside, at = inside + re.escape(pattern[at]), at + 1
    nothing = "." if negated else "(?!)"
    return (f"[{'^' if negated else ''}{inside}]" if inside else nothing), at + 1


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
        brokers = served(facts, parameters.of, "broker")
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
        results = served(facts, parameters.of, "results")
        yield Change(
            "redis",
            {"component": parameters.of, "command": ["FLUSHDB", "ASYNC"], "database": address(facts, parameters.of)[1]},
            evidence={"keys": size, **({"also loses the task results of": results} if results else {})},
            guard={"absent": queue_keys(facts, parameters.of), "absent_like": BINDINGS},
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
    "is freed in the background. Keys of Celery's queues stay. Resumes where it was cut.",
)
class _Unlink(Repeatable):
    async def plan(self, parameters: Unlink, facts: Facts) -> AsyncIterator[Change]:
        if not parameters.pattern.strip("*?"):
            raise Refused(f"the pattern {parameters.pattern!r} means every key", "use redis.flush, if that is meant")
        broker = served(facts, parameters.of, "broker")
        names = [*(queue_keys(facts, parameters.of) if broker else ()), *await queues_in(facts, parameters.of)]
        if queue := _met(parameters.pattern, names):
            raise Refused(
                f"the pattern {parameters.pattern!r} meets the Celery key {queue!r}", "choose a narrower pattern"
            )
        keys = await facts.observe("redis.keys", parameters.of, pattern=parameters.pattern, at_most=COUNTED)
        effect = {
            "component": parameters.of, "pattern": parameters.pattern, "spare": queue_keys(facts, parameters.of),
            "ceiling": parameters.most, "a_second": parameters.a_second,
        }  # fmt: skip
        yield Change(
            "redis-unlink",
            effect,
            evidence={"keys": keys.value, **({"looked at": keys.message} if keys.message else {})},
            inverse="the keys are gone; a cache fills itself again",
        )


def _met(pattern: str, names: Sequence[str]) -> str:
    glob = matcher(pattern)
    return next((name for name in names if glob.fullmatch(name)), "")


class Expired(OperationParameters):
    a_second: int = Field(50_000, gt=0, description="at most so many keys looked at a second")


@operation(
    "redis.delete_expired",
    Risk.SAFE,
    of="redis",
    idempotent=True,
    parameters=Expired,
    doc="Frees keys whose time is over and that nobody has asked for: a walk by SCAN over the database makes the "
    "server look at each key, and it deletes those that have expired. Nothing else goes.",
)
class _Expired(Repeatable):
    async def plan(self, parameters: Expired, facts: Facts) -> AsyncIterator[Change]:
        redis = redis_of(facts, parameters.of)
        info = await redis.info()
        if info.get("role") == "slave":
            raise Refused(f"{parameters.of} is a replica: its keys expire on its master", "name the master")
        number = address(facts, parameters.of)[1]
        keys = info.get(f"db{number}", {"keys": 0, "expires": 0})
        evidence = {"keys": keys["keys"], "with a time": keys["expires"], "stale_percent": info.get(STALE)}
        effect = {"component": parameters.of, "a_second": parameters.a_second}
        yield Change("redis-expire", effect, evidence, inverse="nothing to undo: what expired was gone already")


STALE = "expired_stale_perc"
"""The server's own estimate of the share of keys that have expired and are still there."""
