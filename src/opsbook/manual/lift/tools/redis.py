"""redis-cli: commands of a server, and of the one database that a component's address names."""

from __future__ import annotations

import re

from opsbook.manual.lift.context import Lifted, Stay, Use
from opsbook.manual.lift.inventory import Part
from opsbook.manual.lift.model import Why
from opsbook.manual.lift.registry import lifts
from opsbook.manual.lift.tools.backups import taken, value_of
from opsbook.manual.shell import Command

VALUED = frozenset(
    [
        "-h",
        "-p",
        "-s",
        "-a",
        "-u",
        "-r",
        "-i",
        "-n",
        "-d",
        "-D",
        "--user",
        "--pass",
        "--tls",
        "--cacert",
        "--cert",
        "--key",
        "--pattern",
        "--askpass",
        "-x",
    ]
) - {"--tls", "-x"}
SECTIONS = {
    "memory": "redis.memory_ratio",
    "replication": "redis.replication_lag",
    "persistence": "redis.persistence",
    "stats": "redis.hit_rate",
    "clients": "redis.clients_ratio",
    "server": "redis.up",
    "": "redis.up",
    "all": "redis.up",
    "keyspace": "redis.up",
}
"""Section of INFO → the observation that tells what people look for in it."""
LOOKS = {
    "ping": "redis.up",
    "slowlog": "redis.slowlog",
    "client list": "redis.clients_ratio",
    "memory stats": "redis.memory_ratio",
    "memory doctor": "redis.memory_ratio",
    "lastsave": "redis.persistence",
    "--stat": "redis.up",
    "--latency": "redis.up",
    "role": "redis.up",
}


_EXPIRED = re.compile(r"expired|stale|abgelaufen|expirad|vencid|expiré|истек|просроч|过期|期限切れ|만료", re.I)


def redis_words(command: Command) -> list[str]:
    """The command that the server gets, without the client's own options."""
    words, skip = command.words[1:], False
    found: list[str] = []
    for word in words:
        if skip:
            skip = False
        elif not found and word in VALUED and word != "--pattern":
            skip = True
        elif (
            not found
            and word.startswith("-")
            and word not in ("--scan", "--stat", "--latency", "--bigkeys", "--pattern")
        ):
            continue
        else:
            found.append(word)
    return found


@lifts("redis-cli", "valkey-cli")
def redis(use: Use) -> Lifted:
    part = _meant(use)
    if part is None:
        return Stay(Why.ELSEWHERE, "the book has no Redis")
    words = redis_words(use.command)
    line = " ".join(words).lower()
    if file := value_of(use.command.words[1:], "--rdb"):
        return taken(use, part, "rdb", (), file)
    if not words:
        return Stay(Why.INTERACTIVE, "it opens a prompt", "", part.name)
    if words[0] == "--scan":
        return _scan(use, part, words)
    if words[0].lower() == "keys" and use.behind:
        return _unlink(use, part, words[1] if len(words) > 1 else "*", "keys are found by SCAN: KEYS blocks the server")
    if words[0].lower() == "info":
        return use.check(SECTIONS.get(words[1].lower() if len(words) > 1 else "", "redis.up"), part)
    for start, observe in LOOKS.items():
        if line.startswith(start):
            return use.check(observe, part)
    made = _CHANGES.get(words[0].lower())
    return made(use, part, words) if made else Stay(Why.LOOKS if _reads(line) else Why.PROGRAM, "", "", part.name)


def _reads(line: str) -> bool:
    return bool(
        re.match(r"(?:get|ttl|type|llen|scard|zcard|hlen|exists|dbsize|config get|keys|--bigkeys|memory usage)\b", line)
    )


def _meant(use: Use) -> Part | None:
    """The cache, unless the database that is named is the broker's."""
    found = use.inventory.of_kind("redis")
    caches = [part for part in found if part.role != "queue"]
    return next(iter(caches or found), None)


def _flush(use: Use, part: Part, _words: list[str]) -> Lifted:
    if part.role == "queue" or _only_broker(use, part):
        return Stay(
            Why.HARM, f"{part.name} also holds tasks: what may be emptied is for a person to say", "", part.name
        )
    mended = "empties the one database of the cache; refused where it holds tasks"
    return use.op("redis.flush", part, mended)


def _only_broker(use: Use, part: Part) -> bool:
    return any(other.keys.get("broker") == part.name for other in use.inventory.of_kind("celery", "celery-beat"))


def _scan(use: Use, part: Part, words: list[str]) -> Lifted:
    deletes = any(re.search(r"\b(?:del|unlink)\b", " ".join(one.words), re.I) for one in use.behind)
    pattern = words[words.index("--pattern") + 1] if "--pattern" in words[:-1] else "*"
    if not deletes:
        return Stay(Why.LOOKS, "`redis.keys` counts the keys of a pattern, but needs a threshold", "", part.name)
    return _unlink(use, part, pattern, "keys go in small batches at a bounded rate, and freed in the background")


def _unlink(use: Use, part: Part, pattern: str, mended: str) -> Lifted:
    deletes = any(re.search(r"\b(?:del|unlink)\b", " ".join(one.words), re.I) for one in use.behind)
    if not deletes:
        return Stay(Why.LOOKS, "", "", part.name)
    if pattern.strip("*") == "":
        if _EXPIRED.search(f"{use.command.comment} {use.command.trailing_comment}"):
            return use.op("redis.delete_expired", part, "only keys whose time has passed go, not every key")
        return Stay(Why.HARM, "it deletes every key: which ones are meant is for a person to say", "", part.name)
    value = use.text(pattern, "pattern")
    return use.op("redis.unlink", part, mended, pattern=value) if value else Stay(Why.OPEN, "", "", part.name)


def _delete(use: Use, part: Part, words: list[str]) -> Lifted:
    keys = [use.text(word, "key") for word in words[1:]]
    if len(keys) != 1 or keys[0] is None:
        return Stay(Why.OPEN, "which keys are meant is not said", "", part.name)
    return use.op("redis.unlink", part, pattern=re.sub(r"([*?\[\]\\])", r"\\\1", keys[0]))


def _save(use: Use, part: Part, _words: list[str]) -> Lifted:
    return use.op("redis.save", part, "waits until the snapshot is written, and fails where it fails")


def _config(use: Use, part: Part, words: list[str]) -> Lifted:
    if len(words) >= 4 and words[1].lower() == "set":
        value = use.text(words[3], words[2])
        if value is not None:
            return use.op(
                "redis.setting", part, "kept over restarts where the server has a file", name=words[2], value=value
            )
    if len(words) > 1 and words[1].lower() == "get":
        return Stay(Why.LOOKS, "", "", part.name)
    return Stay(Why.PROGRAM, "", "", part.name)


def _memory(use: Use, part: Part, words: list[str]) -> Lifted:
    return (
        use.op("redis.memory_purge", part)
        if words[1:2] and words[1].lower() == "purge"
        else Stay(Why.LOOKS, "", "", part.name)
    )


def _monitor(_use: Use, part: Part, _words: list[str]) -> Lifted:
    return Stay(Why.INTERACTIVE, "it never ends", "", part.name)


_CHANGES = {
    "flushdb": _flush,
    "flushall": _flush,
    "del": _delete,
    "unlink": _delete,
    "save": _save,
    "bgsave": _save,
    "config": _config,
    "memory": _memory,
    "monitor": _monitor,
    "subscribe": _monitor,
}
