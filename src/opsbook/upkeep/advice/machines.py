"""The machine that a component runs on: by its runtime's limits, by this host's kernel, or as a person says."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from opsbook.book.environments import SupervisorRuntime
from opsbook.connectors.contract import Connections
from opsbook.connectors.runtimes.contract import Usage
from opsbook.connectors.workload import workload_of
from opsbook.errors import Absent, OpsbookError
from opsbook.upkeep.advice.contract import Machine, size

LOOPBACK = ("localhost", "127.0.0.1", "::1", "")


def said(memory: float | None, cores: float | None) -> Machine | None:
    """The machine as a person says it; None where it is not said."""
    if memory is None:
        return None
    return Machine(memory, cores, told=f"a machine of {size(memory)}, as was said")


async def machine_of(connections: Connections, component: str, address: str) -> Machine:
    """The machine of a component whose server is at an address (a URL). Without an answer nothing is known of it."""
    system = connections.system
    here = isinstance(system.environment.runtime, SupervisorRuntime)
    usage = await _usage(connections, component)
    if usage is not None and not here:
        instances = await _instances(connections, component)
        if usage.memory_limit:
            limit = usage.memory_limit / instances
            cores = usage.cpu_limit / instances if usage.cpu_limit else None
            return Machine(limit, cores, told=f"its limit is {size(limit)}")
        return Machine(None, None, told="its workload has no memory limit")
    if system.components[component].through == "runtime" or (usage is None and not _local(address)):
        return Machine(None, None)
    return this_host(usage.memory if usage else 0.0)


def this_host(own: float) -> Machine:
    """This host, less what others use than the server itself."""
    import psutil

    found = psutil.virtual_memory()
    cores = float(os.cpu_count() or 1)
    others = max(0.0, float(found.total - found.available) - own)
    told = f"a host of {size(found.total)} and {cores:g} cores, of which others use {size(others)}"
    return Machine(float(found.total), cores, others, told)


def turns_not(folder: Path) -> bool:
    """Whether the disk of a folder says that it does not turn (/sys/dev/block/…/queue/rotational is 0)."""
    try:
        device = folder.stat().st_dev
        place = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve(strict=True)
        # A partition has no queue of its own.
        found = next(one / "queue/rotational" for one in (place, place.parent) if (one / "queue").is_dir())
        return found.read_text(encoding="ascii").strip() == "0"
    except (OSError, StopIteration):
        return False


def _local(address: str) -> bool:
    try:
        return (urlsplit(address).hostname or "") in LOOPBACK
    except ValueError:
        return False


async def _usage(connections: Connections, component: str) -> Usage | None:
    try:
        workload = workload_of(connections.system, component)
        runtime = connections.runtime
        return await runtime.resources(workload) if "resources" in runtime.capabilities else None
    except (Absent, OpsbookError):
        return None


async def _instances(connections: Connections, component: str) -> int:
    found = await connections.runtime.status(workload_of(connections.system, component))
    return max(1, found.workload.ready)
