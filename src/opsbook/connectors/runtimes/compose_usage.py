"""What containers use, as the engine measures it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.runtimes.compose_api import ApiFault
from opsbook.connectors.runtimes.compose_containers import Container
from opsbook.connectors.runtimes.contract import Usage

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.compose_api import ComposeApi

BETWEEN_SECONDS = 0.5


async def usage(api: ComposeApi, containers: Sequence[Container]) -> Usage:
    """Summed over the containers that run. Raises ReadFailed where nothing can be measured."""
    running = [one for one in containers if one.state.get("Running")]
    first = await _measured(api, running)
    await asyncio.sleep(BETWEEN_SECONDS)
    second = await _measured(api, running)
    both = [(one, first[one.id], second[one.id]) for one in running if one.id in first and one.id in second]
    if not both:
        raise ReadFailed("none of its containers runs, so that there is nothing to measure")
    memories = [one.told["HostConfig"].get("Memory") or 0 for one, _, _ in both]
    cpus = [cores_limit(one.told["HostConfig"]) for one, _, _ in both]
    return Usage(
        sum(cores(a, b) for _, a, b in both),
        sum(memory(b) for _, _, b in both),
        float(sum(memories)) if all(memories) else None,
        sum(cpus) if all(cpus) else None,
    )


async def _measured(api: ComposeApi, containers: Sequence[Container]) -> dict[str, Mapping[str, Any]]:
    async def one(container: Container) -> tuple[str, Any]:
        try:
            return container.id, await api.call("stats", container.id, stream=False)
        except ApiFault:
            return container.id, None  # it has ended meanwhile

    return {name: told for name, told in await asyncio.gather(*map(one, containers)) if told}


def cores(before: Mapping[str, Any], now: Mapping[str, Any]) -> float:
    """Cores used between two looks: the share of the host's CPU time, times its cores."""
    first, second = before["cpu_stats"], now["cpu_stats"]
    used = second["cpu_usage"]["total_usage"] - first["cpu_usage"]["total_usage"]
    passed = second.get("system_cpu_usage", 0) - first.get("system_cpu_usage", 0)
    count = second.get("online_cpus") or len(second["cpu_usage"].get("percpu_usage") or [1])
    return max(0.0, used / passed * count) if passed > 0 else 0.0


def memory(told: Mapping[str, Any]) -> float:
    """Bytes without what the kernel would give back at once, as `docker stats` counts them."""
    said = told.get("memory_stats") or {}
    more = said.get("stats") or {}
    cache = more.get("inactive_file", more.get("total_inactive_file", 0))
    return float(max(0, said.get("usage", 0) - cache))


def cores_limit(host: Mapping[str, Any]) -> float:
    """Cores that it may use at most; zero where there is no limit."""
    if host.get("NanoCpus"):
        return float(host["NanoCpus"]) / 1e9
    quota, period = host.get("CpuQuota") or 0, host.get("CpuPeriod") or 100_000
    return quota / period if quota > 0 else 0.0
