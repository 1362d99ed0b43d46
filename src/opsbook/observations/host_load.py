"""Processor, memory and processes of this machine."""

from __future__ import annotations

import os

from pydantic import Field

from opsbook.book.catalogue import Cost, Parameters
from opsbook.book.units import Dimension
from opsbook.connectors.contract import Fact, ReadFailed
from opsbook.connectors.host import HostConnector, RunningProcess
from opsbook.observations.registry import Absent, observation

TOP = 10


@observation("host.cpu", Dimension.RATIO, of="host", cost=Cost.MODERATE, warning="> 80%", critical="> 95%",
             doc="Share of all cores that was busy in half a second, without opsbook's own checks; waiting for disks "
                 "is not busy.")  # fmt: skip
async def cpu(host: HostConnector) -> Fact:
    before, after = await host.counters()
    spent = {name: max(0.0, value - before.cpu[name]) for name, value in after.cpu.items()}
    # The kernel counts guest time in user and nice already.
    total = sum(value for name, value in spent.items() if not name.startswith("guest"))
    if not total:
        raise Absent("the kernel counted no time between the two looks")
    idle = spent.get("idle", 0.0) + spent.get("iowait", 0.0)
    own = min(max(0.0, after.own - before.own), total - idle)
    shares = {name: value / total for name, value in spent.items()}
    return Fact((total - idle - own) / total, {**shares, "opsbook": own / total})


@observation("host.load", Dimension.COUNT, of="host", warning="> 1", critical="> 2",
             doc="Load average of five minutes, per core.")  # fmt: skip
async def load(host: HostConnector) -> Fact:
    one, five, fifteen = map(float, host.kernel_file("loadavg").split()[:3])
    cores = os.cpu_count() or 1
    return Fact(five / cores, {"1m": one, "5m": five, "15m": fifteen, "cores": cores}, f"{five:g} on {cores} cores")


@observation("host.memory", Dimension.RATIO, of="host", warning="> 85%", critical="> 95%",
             doc="Share of memory that is used: neither free nor a cache that can be dropped at once.")  # fmt: skip
async def memory(host: HostConnector) -> Fact:
    found = meminfo(host)
    total, available = found["MemTotal"], found["MemAvailable"]
    return Fact(1 - available / total, {"total": total, "available": available})


@observation("host.swap", Dimension.RATIO, of="host", warning="> 50%", doc="Share of swap space that is used.")
async def swap(host: HostConnector) -> Fact:
    found = meminfo(host)
    if not found.get("SwapTotal"):
        raise Absent("this machine has no swap space")
    return Fact(1 - found["SwapFree"] / found["SwapTotal"], {"total": found["SwapTotal"], "free": found["SwapFree"]})


def meminfo(host: HostConnector) -> dict[str, float]:
    """/proc/meminfo in bytes."""
    found = {}
    for line in host.kernel_file("meminfo").splitlines():
        name, _, rest = line.partition(":")
        number, *unit = rest.split()
        found[name] = float(number) * (1024 if unit else 1)
    return found


@observation("host.uptime", Dimension.DURATION, of="host", doc="Time since this machine was started.")
async def uptime(host: HostConnector) -> float:
    return float(host.kernel_file("uptime").split()[0])


@observation("host.file_descriptors", Dimension.RATIO, of="host", warning="> 80%", critical="> 95%",
             doc="Share of the kernel's limit of open files that is in use.")  # fmt: skip
async def file_descriptors(host: HostConnector) -> Fact:
    used, unused, limit = map(float, host.kernel_file("sys/fs/file-nr").split())
    return Fact((used - unused) / limit, {"open": used - unused, "limit": limit})


class ProcessParameters(Parameters):
    """Which processes."""

    name: str = Field("", description="only processes of this name")


@observation("host.processes", Dimension.COUNT, of="host", parameters=ProcessParameters, cost=Cost.MODERATE,
             doc="Processes that run. The detail has those that use most memory and most CPU.")  # fmt: skip
async def processes(host: HostConnector, said: ProcessParameters) -> Fact:
    found = [one for one in await host.processes() if not said.name or one.name == said.name]
    busiest = sorted(found, key=lambda one: one.cpu, reverse=True)
    detail = {"by_memory": list(map(_row, found[:TOP])), "by_cpu": list(map(_row, busiest[:TOP]))}
    return Fact(float(len(found)), detail, f"{busiest[0].name} uses most CPU" if busiest and busiest[0].cpu else "")


def _row(one: RunningProcess) -> dict[str, object]:
    return {"pid": one.pid, "name": one.name, "user": one.user, "cpu": round(one.cpu, 3), "memory": one.memory}


@observation("host.clock_synchronised", Dimension.STATE, of="host", warning="is down",
             doc="Whether the kernel says that something keeps its clock right.")  # fmt: skip
async def clock_synchronised(host: HostConnector) -> Fact:  # noqa: ARG001  the clock is this machine's
    import ctypes

    # adjtimex(2) with no modes set only reads; state 5 is TIME_ERROR: not synchronised.
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "adjtimex"):
        raise ReadFailed("this system has no adjtimex")
    state = libc.adjtimex(ctypes.create_string_buffer(512))
    if state < 0:
        raise ReadFailed(f"adjtimex: {os.strerror(ctypes.get_errno())}")
    return Fact(state != 5, message="nothing keeps this clock right" if state == 5 else "")
