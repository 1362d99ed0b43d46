"""Disks of this machine: what is free, how fast it goes, and how much they work."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from opsbook.book.catalogue import Parameters
from opsbook.book.units import Dimension, show_duration
from opsbook.connectors.contract import Fact, ReadFailed
from opsbook.connectors.growth import LONGEST, full_in
from opsbook.connectors.host import Counters, HostConnector
from opsbook.observations.registry import Absent, observation


class PathParameters(Parameters):
    """Which file system."""

    path: str = Field("/", description="any path on the file system that is meant")


@observation("host.disk_free", Dimension.RATIO, of="host", parameters=PathParameters, warning="< 20%",
             critical="< 10%", doc="Share of a file system that ordinary users may still write.")  # fmt: skip
async def disk_free(host: HostConnector, said: PathParameters) -> Fact:
    disk = await host.disk(said.path)
    if not disk.total:
        raise Absent(f"{said.path} has no size: it is a file system of the kernel's own")
    # What df calls free: of what is used and what may be used, the reserve of root left out.
    return Fact(disk.free / (disk.used + disk.free or 1), {"path": disk.path, "free": disk.free, "total": disk.total})


@observation("host.disk_free_bytes", Dimension.SIZE, of="host", parameters=PathParameters,
             doc="Bytes of a file system that ordinary users may still write.")  # fmt: skip
async def disk_free_bytes(host: HostConnector, said: PathParameters) -> float:
    return (await host.disk(said.path)).free


@observation("host.inodes_free", Dimension.RATIO, of="host", parameters=PathParameters, warning="< 20%",
             critical="< 10%", doc="Share of a file system's inodes that is free.")  # fmt: skip
async def inodes_free(host: HostConnector, said: PathParameters) -> Fact:
    disk = await host.disk(said.path)
    if not disk.inodes:
        raise Absent(f"{said.path} has no fixed number of inodes")
    return Fact(disk.inodes_free / disk.inodes, {"free": disk.inodes_free, "total": disk.inodes})


@observation(
    "host.disk_full_in",
    Dimension.DURATION,
    of="host",
    parameters=PathParameters,
    warning="< 7d",
    critical="< 1d",
    doc="When a file system will be full if it grows as it did: a line through up to a week of looks, which opsbook"
    " remembers in its state folder. Absent until the looks span ten minutes; ten years where it does not grow.",
)
async def disk_full_in(host: HostConnector, said: PathParameters) -> Fact:
    disk = await host.disk(said.path)
    looks = await host.looks(disk)
    seconds = full_in(looks, disk.free)
    if seconds is None:
        raise Absent(f"the growth of {said.path} is not known yet: two looks ten minutes apart are needed")
    span = show_duration(looks[-1][0] - looks[0][0])
    words = "it does not grow" if seconds >= LONGEST else f"as it grew in {span}"
    return Fact(seconds, {"looks": len(looks), "free": disk.free}, words)


class DeviceParameters(Parameters):
    """Which device."""

    device: str = Field("", description="name of the device or interface; all real ones together where left out")


@observation("host.disk_io", Dimension.THROUGHPUT, of="host", parameters=DeviceParameters,
             doc="Bytes read and written in a second, together.")  # fmt: skip
async def disk_io(host: HostConnector, said: DeviceParameters) -> Fact:
    return _throughput(*await host.counters(), said.device, lambda one: one.disks, ("read", "written"), _whole_disk)


@observation("host.network_io", Dimension.THROUGHPUT, of="host", parameters=DeviceParameters,
             doc="Bytes received and sent in a second, together; without loopback, unless it is named.")  # fmt: skip
async def network_io(host: HostConnector, said: DeviceParameters) -> Fact:
    return _throughput(*await host.counters(), said.device, lambda one: one.networks, ("received", "sent"),
                       lambda name: name != "lo")  # fmt: skip


def _whole_disk(name: str) -> bool:
    """Not a partition, whose bytes its disk counts too, nor a loop or memory device."""
    if name.startswith(("loop", "ram", "zram", "dm-", "md")):
        return False
    if name.startswith(("nvme", "mmcblk")):
        return "p" not in name.removeprefix("nvme").removeprefix("mmcblk")
    return not name[-1:].isdigit()


def _throughput(
    before: Counters,
    after: Counters,
    device: str,
    of: Callable[[Counters], object],
    words: tuple[str, str],
    counts: Callable[[str], bool],
) -> Fact:
    first, second = of(before), of(after)
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    if device and device not in second:
        raise ReadFailed(f"there is no {device!r}; this machine has {', '.join(sorted(second)) or 'none'}")
    chosen = [name for name in second if name in first and (name == device if device else counts(name))]
    if not chosen:
        raise Absent("this machine counts none")
    seconds = after.at - before.at
    rates = {
        name: tuple(max(0.0, b - a) / seconds for a, b in zip(first[name], second[name], strict=True))
        for name in chosen
    }
    detail = {name: dict(zip(words, rate, strict=True)) for name, rate in rates.items()}
    return Fact(sum(sum(rate) for rate in rates.values()), detail)
