"""Redis: commands that take away more than a cache."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.grammar import redis_command
from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.redis import redis_words
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_QUEUE = re.compile(
    (
        r"celery|task queue|job queue|message broker|\bbroker\b|sidekiq|\brq\b|bullmq|\bbull\b|"
        r"resque|streams?\b.{0,20}redis|session store|sessions? (?:in|are)|laravel horizon|"
        r"\bredis\b[^.|\n]{0,25}\b(?:sessions|queues?)\b"
    ),
    re.I,
)


def _is_broker(context: Context) -> str:
    """The words of the manual that make its Redis more than a cache, or nothing."""
    if not re.search(r"redis", context.text):
        return ""
    found = _QUEUE.search(context.text)
    return found[0] if found else ""


def _clients(context: Context) -> Iterator[tuple[Step, tuple[str, ...]]]:
    for step in context.steps:
        if step.program in ("redis-cli", "valkey-cli"):
            yield step, redis_words(step)


@rule(
    "OB601",
    "flush-of-broker",
    FaultClass.DESTROYS,
    Severity.ERROR,
    summary="FLUSHALL or FLUSHDB on a Redis that also holds tasks or sessions",
    reason=(
        "A flush removes every key. Where the same Redis is a task queue's broker or keeps "
        "sessions, queued work and logins are lost together with the cache; nothing restores "
        "them."
    ),
    source="https://redis.io/docs/latest/commands/flushall/",
    bad=("Celery uses Redis as its broker.\n\n") + sh("redis-cli FLUSHALL"),
    good=("Celery uses Redis as its broker.\n\n")
    + sh("redis-cli --scan --pattern 'cache:*' | xargs -r redis-cli UNLINK"),
)
def flush_of_broker(context: Context) -> Iterator[Fault]:
    """FLUSHALL always; FLUSHDB where no cache database is chosen."""
    role = _is_broker(context)
    for step, words in _clients(context):
        verb = words[0].upper() if words else ""
        if verb not in ("FLUSHALL", "FLUSHDB"):
            continue
        chosen = step.call is not None and step.call.has("-n")
        fix = Fix(
            "delete the cache's keys by their prefix: redis-cli --scan --pattern 'cache:*' | xargs -r redis-cli UNLINK"
        )
        if role and not (verb == "FLUSHDB" and chosen):
            yield Fault(step.place, f"{verb} empties a Redis that this manual also uses as “{role}”", fix)
        elif not role and verb == "FLUSHALL":
            yield Fault(
                step.place,
                "FLUSHALL empties every database of this Redis, not only the cache",
                fix,
                severity=Severity.WARNING,
            )


@rule(
    "OB602",
    "delete-every-key",
    FaultClass.DESTROYS,
    Severity.ERROR,
    summary="A scan over all keys that deletes them",
    reason=(
        "--scan with the pattern * and DEL is FLUSHDB by another name. Redis removes expired "
        "keys by itself; nothing needs to collect them."
    ),
    source="https://redis.io/docs/latest/commands/expire/#how-redis-expires-keys",
    bad=sh("redis-cli --scan --pattern '*' | xargs redis-cli DEL"),
    good=sh("redis-cli --scan --pattern 'session:old:*' | xargs -r redis-cli UNLINK"),
)
def delete_every_key(context: Context) -> Iterator[Fault]:
    """A pipeline from a scan of everything into DEL or UNLINK."""
    for step, words in _clients(context):
        pattern = step.call.value("--pattern") if step.call and step.call.has("--scan") else None
        every = step.call is not None and step.call.has("--scan") and pattern in (None, "*")
        every = every or (len(words) > 1 and words[0].upper() == "KEYS" and words[1] == "*")
        if every and any(
            re.search(r"\b(?:DEL|UNLINK)\b", other.command.text, re.I) for other in step.block.pipeline(step)
        ):
            yield Fault(step.place, "deletes every key of this Redis", Fix("name the prefix of the keys that may go"))


@rule(
    "OB603",
    "redis-keys",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="KEYS on a running Redis",
    reason=(
        "KEYS walks the whole key space in Redis' one thread: with millions of keys every client waits for seconds."
    ),
    source="https://redis.io/docs/latest/commands/keys/",
    bad=sh("redis-cli KEYS 'cache:*'"),
    good=sh("redis-cli --scan --pattern 'cache:*'"),
)
def redis_keys(context: Context) -> Iterator[Fault]:
    """KEYS with any pattern."""
    for step, words in _clients(context):
        if len(words) > 1 and words[0].upper() == "KEYS":
            yield Fault(
                step.place, f"KEYS {words[1]} blocks the server while it walks all keys", Fix("use --scan --pattern")
            )


@rule(
    "OB604",
    "redis-save-is-no-backup",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="BGSAVE as a backup that nothing copies away",
    reason=(
        "BGSAVE writes dump.rdb beside the data, in the background. Until a copy leaves the "
        "host and its end was seen (LASTSAVE), it is lost with the host and may be the old "
        "file."
    ),
    source="https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/#backing-up-redis-data",
    bad=sh("# Backup Redis data\nredis-cli BGSAVE"),
    good=sh(
        "# Backup Redis data\nredis-cli --rdb /backups/redis.rdb\naws s3 cp /backups/redis.rdb s3://backups/redis/"
    ),
)
def redis_save(context: Context) -> Iterator[Fault]:
    """BGSAVE in a step that speaks of backup, with no rdb file taken anywhere behind it."""
    for step, words in _clients(context):
        if not words or words[0].upper() not in ("BGSAVE", "SAVE"):
            continue
        said = f"{step.comment} {' '.join(step.block.section_path[-1:])}".lower()
        later = step.block.after(step)
        copied = next((s for s in later if re.search(r"\.rdb|/var/lib/redis", s.command.text, re.I)), None)
        waited = any(
            re.search(r"LASTSAVE|rdb_bgsave_in_progress|\bsleep\b|\bwait\b|until|while", s.command.text, re.I)
            for s in later
        )
        if "backup" in said.replace("back up", "backup") and copied is None and not waited:
            yield Fault(
                step.place,
                f"{words[0].upper()} only writes dump.rdb on the Redis host; nothing copies it away or waits for it",
                Fix("redis-cli --rdb FILE streams a snapshot to this host; then copy FILE away"),
            )
        elif words[0].upper() == "BGSAVE" and copied is not None and not waited:
            yield Fault(
                step.place,
                f"BGSAVE works in the background: line {copied.command.line} copies the file before it is written",
                Fix("wait until LASTSAVE changes, or use redis-cli --rdb FILE"),
            )


@rule(
    "OB605",
    "redis-config-lost",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="CONFIG SET that the next restart forgets",
    reason=(
        "CONFIG SET changes the running server only. Without CONFIG REWRITE (or the same "
        "line in redis.conf) the next restart brings the old value back."
    ),
    source="https://redis.io/docs/latest/commands/config-rewrite/",
    bad=sh("redis-cli CONFIG SET maxmemory-policy allkeys-lru"),
    good=sh("redis-cli CONFIG SET maxmemory-policy allkeys-lru\nredis-cli CONFIG REWRITE"),
)
def redis_config(context: Context) -> Iterator[Fault]:
    """CONFIG SET in a block without CONFIG REWRITE or a word of redis.conf; not where it is said to be temporary."""
    for step, words in _clients(context):
        if [w.upper() for w in words[:2]] != ["CONFIG", "SET"]:
            continue
        section = context.section_text(step.block.section_path)
        if re.search(r"config rewrite|redis\.conf|temporar|for now|until (?:the )?restart|revert|--maxmemory", section):
            continue
        yield Fault(
            step.place,
            f"CONFIG SET {' '.join(words[2:3])} is lost at the next restart",
            Fix("run CONFIG REWRITE after it, or write it into redis.conf"),
            subject=f"config-{step.block.number}",
        )


@rule(
    "OB607",
    "redis-without-its-password",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="redis-cli without the password that the same server is given elsewhere",
    reason=(
        "A server with requirepass answers NOAUTH to everything, and redis-cli ends with 0 all the same: as a check "
        "it fails silently, as a step it does nothing."
    ),
    source="https://redis.io/docs/latest/operate/oss_and_stack/management/security/",
    bad=sh("docker exec cache redis-cli -a $PASS info\ndocker exec cache redis-cli dbsize"),
    good=sh("docker exec cache redis-cli -a $PASS info\ndocker exec -e REDISCLI_AUTH=$PASS cache redis-cli dbsize"),
)
def redis_without_password(context: Context) -> Iterator[Fault]:
    """Commands into a container that other commands enter with -a; on the same port."""
    guarded: set[tuple[str, str]] = set()
    bare: list[tuple[tuple[str, str], Step]] = []
    for step in context.calls("redis-cli"):
        call, outer = step.call, step.container
        if call is None or outer is None or outer.call is None or not outer.call.args:
            continue
        where = (outer.call.words[0], call.value("-p") or "")
        if call.has("-a", "--pass", "--user", "-u", "--askpass"):
            guarded.add(where)
        elif "REDISCLI_AUTH" not in step.outermost.command.text and "REDISCLI_AUTH" not in step.block.text:
            bare.append((where, step))
    for where, step in bare:
        if where in guarded:
            yield Fault(step.place, f"{where[0]} wants a password, as elsewhere in this manual", subject=where[0])


@rule(
    "OB606",
    "redis-command-unknown",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A Redis command that no server has, or too few arguments",
    reason=(
        "The command table of a real server says which commands exist and how many arguments "
        "each takes; the server refuses the rest."
    ),
    source="https://redis.io/docs/latest/commands/command-docs/",
    bad=sh("redis-cli INFO memory\nredis-cli CONFIG SHOW maxmemory"),
    good=sh("redis-cli CONFIG GET maxmemory"),
)
def redis_unknown(context: Context) -> Iterator[Fault]:
    """Commands with static words only; modules (FT., JSON. …) are not in the table and are left alone."""
    for step, words in _clients(context):
        if (
            not words
            or words[0].upper() == "SENTINEL"
            or not re.fullmatch(r"[A-Za-z]+", words[0])
            or any("$" in word for word in words[:2])
        ):
            continue
        known = redis_command(words)
        if known is None:
            yield Fault(step.place, f"Redis has no command {words[0].upper()}")
            continue
        name, entry = known
        group = redis_command((words[0],))
        if " " not in name and len(words) > 1 and group and _has_subcommands(name):
            yield Fault(step.place, f"Redis has no command {name} {words[1].upper()}")
        least = abs(int(entry["arity"]))
        given = len(words)
        fed = step.command.position > 0 or (step.outer is not None and step.outer.program == "xargs")
        if given < least and not fed and not (step.call and step.call.has("-x", "-X")):
            yield Fault(
                step.place, f"{name} needs {least - len(name.split())} arguments, {given - len(name.split())} given"
            )


def _has_subcommands(name: str) -> bool:
    return name in (
        "CONFIG",
        "CLIENT",
        "CLUSTER",
        "MEMORY",
        "SLOWLOG",
        "LATENCY",
        "ACL",
        "SCRIPT",
        "COMMAND",
        "OBJECT",
        "XINFO",
        "XGROUP",
        "PUBSUB",
        "MODULE",
        "FUNCTION",
    )
