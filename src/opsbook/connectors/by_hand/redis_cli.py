"""Changes of Redis and Valkey by redis-cli."""

from __future__ import annotations

from collections.abc import Iterator

from opsbook.connectors.by_hand.script import Script, as_commands
from opsbook.connectors.by_hand.shell_text import comment, word, words
from opsbook.connectors.change import Json
from opsbook.connectors.executors.redis_scan import BINDING, KEYS_A_SCAN


def client(script: Script, component: str) -> str:
    """redis-cli on the database that the component's URL names; it fails where the server says no."""
    script.calls("at_redis")
    return f"at_redis {address(script, component)}"


def address(script: Script, component: str) -> str:
    """A word with the address of the component. It may hold a password: never an argv."""
    return script.value(script.component(component).url, f"url of {component}")


@as_commands("redis")
def command(change: Json, script: Script) -> Iterator[str]:
    """One command."""
    guard = change.get("guard") or {}
    if absent := [*guard.get("absent", ()), *filter(None, [guard.get("absent_like")])]:
        yield from comment(f"not where one of these keys is there: {', '.join(absent)}", "    ")
    yield f"{client(script, change['effect']['component'])} {words(change['effect']['command'])}"


@as_commands("redis-setting")
def setting(change: Json, script: Script) -> Iterator[str]:
    """Set, and kept in the server's file where that is wanted."""
    effect = change["effect"]
    redis = client(script, effect["component"])
    yield f"{redis} CONFIG SET {words([effect['name'], effect['value']])}"
    if effect["keep"]:
        yield f"{redis} CONFIG REWRITE"


@as_commands("redis-save")
def save(change: Json, script: Script) -> Iterator[str]:
    """The save is begun, and waited for."""
    redis = client(script, change["effect"]["component"])
    yield f"{redis} BGSAVE SCHEDULE"
    yield f"until {redis} INFO persistence | grep -q 'rdb_bgsave_in_progress:0'; do sleep 1; done"
    yield f"{redis} INFO persistence | grep 'rdb_last_bgsave_status:ok'"


@as_commands("redis-unlink")
def unlink(change: Json, script: Script) -> Iterator[str]:
    """A walk through the keys that match, without those that are spared."""
    effect = change["effect"]
    redis = client(script, effect["component"])
    spared = " ".join(f"-e {word(one)}" for one in effect["spare"])
    walk = f"{redis} --scan --pattern {word(effect['pattern'])} | {{ grep -v '^{BINDING}' || true; }}"
    walk += f" | {{ grep -vxF {spared} || true; }}" if spared else ""
    yield from comment(f"at most {effect['ceiling']:,} keys; look first how many there are", "    ")
    yield f"{walk} | wc -l"
    script.calls("each_at_redis")
    yield f"{walk} | each_at_redis {address(script, effect['component'])} {KEYS_A_SCAN} UNLINK"


@as_commands("redis-expire")
def expire(change: Json, script: Script) -> Iterator[str]:
    """A walk through all keys makes the server look at each."""
    yield f"{client(script, change['effect']['component'])} --scan > /dev/null"
