"""A service of Kubernetes that leads to one of two servers: its selector is set, and its endpoints are looked at."""

from __future__ import annotations

import asyncio
import time

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.runtimes.contract import Runtime, Unsupported
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.switches.service import ServiceSwitch

ENDPOINTS_SECONDS = 60.0
LOOK_SECONDS = 0.2


def _switch(runtime: Runtime, service: str, to: str, other: str) -> ServiceSwitch:
    if not isinstance(runtime, Kubernetes):
        raise Unsupported(f"service/{service} is known to Kubernetes alone", "name a `file` in `failover.repoint`")
    return ServiceSwitch(runtime, service, {"blue": to, "green": other})


async def follows(runtime: Runtime, service: str, to: str, other: str) -> bool:
    """Whether its selector is that of the one workload. Raises Refused where it is neither's."""
    return await _switch(runtime, service, to, other).active() == "blue"


async def follow(runtime: Runtime, service: str, to: str, other: str, *, serving: bool) -> bool:
    """It leads to the one workload alone; whether that had to be changed.

    With `serving` a pod must be behind it. Raises Refused, ChangeFailed.
    """
    switch = _switch(runtime, service, to, other)
    changed = await switch.active() != "blue"
    await switch.send("blue")
    deadline = time.monotonic() + ENDPOINTS_SECONDS
    while strange := await _not_led(switch.runtime, service, to, serving):
        if time.monotonic() > deadline:
            raise ChangeFailed(f"service/{service} does not lead to {to}: {strange}", "see its endpoints")
        await asyncio.sleep(LOOK_SECONDS)
    return changed


async def _not_led(kubernetes: Kubernetes, service: str, to: str, serving: bool) -> str:
    """What is wrong with its endpoints; empty where nothing is."""
    endpoints = await kubernetes.api.get(kubernetes.namespace.core("endpoints", service))
    behind = {
        (address.get("targetRef") or {}).get("name", address.get("ip", ""))
        for subset in endpoints.get("subsets") or []
        for address in subset.get("addresses") or []
    }
    own = {pod.name for pod in await kubernetes.pods(to)}
    if strange := sorted(behind - own):
        return f"{', '.join(strange)} is behind it"
    return "nothing is ready behind it" if serving and not behind else ""
