"""Settings of Redis and Valkey advised from INFO, its configuration, and what it is used for. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opsbook.book.units import show_duration
from opsbook.upkeep.advice.contract import MEBI, Advice, Advised, Machine, near, round_size, size

DOCS = "https://redis.io/docs/latest/"
MEMORY = DOCS + "operate/oss_and_stack/management/optimization/memory-optimization/"
EVICTION, PERSISTENCE = DOCS + "develop/reference/eviction/", DOCS + "operate/oss_and_stack/management/persistence/"
CLIENTS, ADMIN = DOCS + "develop/reference/clients/", DOCS + "operate/oss_and_stack/management/admin/"
FRAGMENTED, LOST = 1.5, 100 * MEBI
"""Ratio and bytes from which fragmentation costs something. Both must hold: a small server has a high ratio."""


@dataclass(frozen=True)
class Use:
    """What the book says of a server: its tasks must not be lost, its cached answers may be."""

    broker: bool = False
    cache: bool = False


def advise(component: str, info: Mapping[str, Any], config: Mapping[str, str], use: Use, machine: Machine) -> Advised:
    """Advice on a server, of `INFO everything` and `CONFIG GET *`."""
    rules = (_maxmemory, _policy, _defragmentation, _persistence, _keepalive, _clients)
    found = tuple(one for rule in rules for one in rule(component, info, config, use, machine))
    untold = () if machine.share is not None else ("its memory is not known, so that maxmemory is not judged",)
    return Advised(component, "redis", found, _told(info, machine), untold)


def _told(info: Mapping[str, Any], machine: Machine) -> tuple[str, ...]:
    said = [f"{size(info['used_memory'])} used, {size(info['used_memory_peak'])} at most",
            *([machine.told] if machine.told else []),
            f"measured over {show_duration(float(info['uptime_in_seconds']))}"]  # fmt: skip
    return tuple(said)


def _saves(config: Mapping[str, str]) -> bool:
    return bool(config.get("save")) or config.get("appendonly") == "yes"


def room(config: Mapping[str, str], share: float) -> float:
    """What it may take: one that saves forks, and what is written meanwhile is there twice."""
    return share * (0.5 if _saves(config) else 0.75)


def _maxmemory(
    component: str, info: Mapping[str, Any], config: Mapping[str, str], _use: Use, machine: Machine
) -> Iterator[Advice]:
    if machine.share is None:
        return
    now, peak = float(config["maxmemory"]), float(info["used_memory_peak"])
    share = machine.share
    most = room(config, share)
    why = "it forks to save, which can take as much again" if _saves(config) else "beside the rest of the machine"
    wanted = round_size(min(most, max(peak * 2, 64 * MEBI)))
    if now and peak > 0.8 * now and wanted > now:
        why = f"{size(peak)} of {size(now)} were used, and {size(share)} are there; {why}"
    elif not now:
        why = f"nothing bounds it but the machine; {size(peak)} were used at most, {size(most)} are safe: {why}"
    elif now > share:
        wanted, why = round_size(most), f"it may take {size(now)}, and {size(share)} are there; {why}"
    else:
        return
    if now and near(now, wanted):
        return
    risk = "above it keys are dropped, or writes refused, as the policy says"
    yield Advice(component, "maxmemory", size(now) if now else "0 (no limit)", f"{wanted / MEBI:.0f}mb", why, MEMORY,
                 "reload", risk)  # fmt: skip


def _policy(
    component: str, info: Mapping[str, Any], config: Mapping[str, str], use: Use, _machine: Machine
) -> Iterator[Advice]:
    now = config.get("maxmemory-policy", "noeviction")
    keys, expiring = keys_of(info)
    told = f"{expiring:,} of {keys:,} keys have a life time"
    if use.broker and now.startswith("allkeys"):
        wanted = "volatile-lru" if use.cache else "noeviction"
        why = f"it holds task queues, and this policy drops waiting tasks when it is full; {told}"
    elif use.cache and use.broker and now == "noeviction":
        wanted, why = "volatile-lru", f"a full cache would refuse new tasks; keys of queues have no life time; {told}"
    elif use.cache and not use.broker and now == "noeviction" and float(config["maxmemory"]):
        wanted = "allkeys-lru"
        why = f"it is a cache, and refuses writes when it is full; {told}"
    else:
        return
    yield Advice(component, "maxmemory-policy", now, wanted, why, EVICTION, "reload",
                 "other keys are dropped than before, as soon as it is full")  # fmt: skip


def keys_of(info: Mapping[str, Any]) -> tuple[int, int]:
    """All keys, and those with a life time."""
    bases = [value for name, value in info.items() if name.startswith("db") and isinstance(value, dict)]
    return sum(int(one.get("keys", 0)) for one in bases), sum(int(one.get("expires", 0)) for one in bases)


def _defragmentation(
    component: str, info: Mapping[str, Any], config: Mapping[str, str], _use: Use, _machine: Machine
) -> Iterator[Advice]:
    ratio, lost = float(info.get("mem_fragmentation_ratio") or 0), float(info.get("mem_fragmentation_bytes") or 0)
    able = str(info.get("mem_allocator", "")).startswith("jemalloc")
    if ratio > FRAGMENTED and lost > LOST and able and config.get("activedefrag") == "no":
        why = f"{size(lost)} are lost to fragmentation, a ratio of {ratio:.2f}"
        yield Advice(component, "activedefrag", "no", "yes", why, MEMORY, "reload",
                     "it takes up to a quarter of a core while it works")  # fmt: skip


def _persistence(
    component: str, info: Mapping[str, Any], config: Mapping[str, str], use: Use, _machine: Machine
) -> Iterator[Advice]:
    if use.broker and not _saves(config):
        why = "it holds task queues and writes nothing to disk: a restart loses every waiting task"
        yield Advice(component, "appendonly", "no", "yes", why, PERSISTENCE, "reload",
                     "it writes to disk all the time; the first file is written at once, by a fork")  # fmt: skip
    failed = info.get("rdb_last_bgsave_status") == "err"
    if failed and config.get("stop-writes-on-bgsave-error") == "yes" and not use.broker:
        why = (
            "the last save failed, and it refuses writes until one succeeds: mend that first (disk, memory for a fork)"
        )
        yield Advice(component, "stop-writes-on-bgsave-error", "yes", "no", why, PERSISTENCE, "reload",
                     "what is written meanwhile is lost by a crash", applied=False)  # fmt: skip


def _keepalive(
    component: str, info: Mapping[str, Any], config: Mapping[str, str], _use: Use, _machine: Machine
) -> Iterator[Advice]:
    if config.get("tcp-keepalive") == "0":
        why = f"{info['connected_clients']} clients are connected, and one that vanished is never noticed"
        yield Advice(component, "tcp-keepalive", "0", "300", why, CLIENTS, "reload", "none")


def _clients(
    component: str, info: Mapping[str, Any], config: Mapping[str, str], _use: Use, _machine: Machine
) -> Iterator[Advice]:
    refused, most = int(info.get("rejected_connections") or 0), int(config.get("maxclients", "10000"))
    if refused:
        why = f"{refused:,} connections were refused since it was started"
        yield Advice(component, "maxclients", str(most), str(most * 2), why, CLIENTS, "reload",
                     "each takes memory and a file descriptor")  # fmt: skip
