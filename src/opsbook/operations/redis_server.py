"""A Redis server: saved, its memory given back, its settings changed and kept."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.words import nearest
from opsbook.connectors.change import Change, Json
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.redis_keys import redis_of
from opsbook.operations.registry import operation

SECRET_SETTINGS = ("requirepass", "masterauth", "tls-key-file-pass", "tls-client-key-file-pass")


class Save(OperationParameters):
    within: float = Field(600, gt=0, description="seconds that it may take")


@operation(
    "redis.save",
    Risk.SAFE,
    of="redis",
    idempotent=True,
    parameters=Save,
    doc="Saves to disk in the background (BGSAVE) and waits until it is done. The server forks: it needs free memory.",
)
class _Save(Repeatable):
    async def plan(self, parameters: Save, facts: Facts) -> AsyncIterator[Change]:
        info = await redis_of(facts, parameters.of).info()
        evidence = {
            "changes since the last save": info.get("rdb_changes_since_last_save"),
            "bytes": info.get("used_memory"),
        }
        effect = {"component": parameters.of, "within": parameters.within}
        yield Change("redis-save", effect, evidence, None, "nothing to undo: no data changes")


class Purge(OperationParameters):
    pass


@operation(
    "redis.memory_purge",
    Risk.SAFE,
    of="redis",
    idempotent=True,
    parameters=Purge,
    doc="Asks the allocator to give unused memory back to the system (MEMORY PURGE).",
)
class _Purge(Repeatable):
    async def plan(self, parameters: Purge, facts: Facts) -> AsyncIterator[Change]:
        info = await redis_of(facts, parameters.of).info()
        evidence = {"resident": info.get("used_memory_rss"), "used": info.get("used_memory")}
        effect = {"component": parameters.of, "command": ["MEMORY", "PURGE"]}
        yield Change("redis", effect, evidence, None, "nothing to undo: no data changes")


class Setting(OperationParameters):
    name: str = Field(pattern=r"^[a-z0-9-]+$", description="the setting, e.g. maxmemory")
    value: str = Field(description="its value as Redis reads it, e.g. 512mb")
    keep: bool = Field(True, description="also write it to the server's file, where it has one (CONFIG REWRITE)")


async def redis_setting(facts: Facts, component: str, name: str, value: str, *, keep: bool) -> Change:
    """The change that sets a setting, for operations of which it is a part. Raises Refused."""
    if name in SECRET_SETTINGS:
        raise Refused(f"{name} is a secret: it would stand in the plan", "rotate it instead")
    redis = redis_of(facts, component)
    found = await redis.ask(lambda client: client.config_get("*"))
    if name not in found:
        raise Refused(f"the server has no setting {name!r}", nearest(name, [str(one) for one in found]))
    now = str(found[name])
    facts.record(f"{component}: {name}", now)
    file = (await redis.info()).get("config_file")

    def to(wanted: str) -> dict[str, Json]:
        return {"component": component, "name": name, "value": wanted, "keep": keep and bool(file)}

    kept = str(file) if keep and file else "nowhere: a restart forgets it"
    evidence = {"now": now, "to": value, "kept in": kept}
    return Change("redis-setting", to(value), evidence, None, Change("redis-setting", to(now)))


@operation(
    "redis.setting",
    Risk.DISRUPTIVE,
    of="redis",
    idempotent=True,
    parameters=Setting,
    doc="Changes a setting of the running server, reads it back, and keeps it over restarts where the server has a "
    "file. Undo puts the value from before back, in the file too.",
)
class _Setting(Repeatable):
    async def plan(self, parameters: Setting, facts: Facts) -> AsyncIterator[Change]:
        yield await redis_setting(facts, parameters.of, parameters.name, parameters.value, keep=parameters.keep)
