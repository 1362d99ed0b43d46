"""This machine: its processor, memory, disks, network, processes, log-ins. Read from the kernel by psutil."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from opsbook.book.catalogue import Component
from opsbook.connectors.blocking import on_thread
from opsbook.connectors.contract import Connector, ReadFailed
from opsbook.connectors.growth import Look, remember, state_folder
from opsbook.connectors.registry import connector
from opsbook.errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psutil

SAMPLE_SECONDS = 0.5
"""Between two looks at what only grows. All rates of a sweep share one pair of looks."""


class HostComponent(Component):
    """The machine that opsbook runs on."""

    kind: Literal["host"]
    proc: str = Field("/proc", description="where the kernel's process files are; in a container, the host's own mount")


@dataclass(frozen=True)
class Counters:
    """What only grows, at one moment. Times in seconds, sizes in bytes."""

    at: float
    cpu: Mapping[str, float]
    own: float
    """CPU seconds of this process: looking must not change what is seen."""
    disks: Mapping[str, tuple[float, float]]
    """Read and written, by device."""
    networks: Mapping[str, tuple[float, float]]
    """Received and sent, by interface."""


@dataclass(frozen=True)
class Disk:
    """A file system. Free is what an ordinary user may still write."""

    path: str
    total: float
    free: float
    used: float
    inodes: float
    inodes_free: float


@dataclass(frozen=True)
class RunningProcess:
    """One process. CPU in cores since the look before, memory resident in bytes."""

    pid: int
    name: str
    user: str
    cpu: float
    memory: float


@connector(HostComponent)
class HostConnector(Connector):
    """Looks at this machine."""

    component: HostComponent

    @property
    def proc(self) -> Path:
        return Path(self.component.proc)

    async def disk(self, path: str) -> Disk:
        """The file system that holds a path. Raises Unreachable; a file system that hangs costs one thread."""
        where = str(self.system.path(path))
        return await self.once(("disk", where), lambda: on_thread(("disk", where), _disk, where))

    async def looks(self, disk: Disk) -> list[Look]:
        """What was used of a disk before and now, as far as opsbook remembers."""
        now = time.time()
        return await self.once(
            ("looks", disk.path),
            lambda: on_thread(("looks", disk.path), remember, disk.path, now, disk.used, state_folder()),
        )

    async def counters(self) -> tuple[Counters, Counters]:
        """Two looks at what only grows, shared by all facts of a sweep."""
        return await self.once("counters", self._counters)

    async def _counters(self) -> tuple[Counters, Counters]:
        before = _counters(self.proc)
        await asyncio.sleep(SAMPLE_SECONDS)
        return before, _counters(self.proc)

    async def processes(self) -> list[RunningProcess]:
        """Every process, by memory, with the CPU of half a second."""
        return await self.once("processes", lambda: on_thread("processes", _processes, str(self.proc)))

    def kernel_file(self, name: str) -> str:
        """The text of a file under /proc. Raises ReadFailed where this kernel has none."""
        try:
            return (self.proc / name).read_text()
        except OSError as error:
            raise ReadFailed(f"{self.proc / name}: {error.strerror}") from error


def _disk(path: str) -> Disk:
    import os

    try:
        found = os.statvfs(path)
    except OSError as error:
        raise Unreachable(f"{path}: {error.strerror}", "is the disk mounted?") from error
    size = found.f_frsize
    return Disk(path, found.f_blocks * size, found.f_bavail * size, (found.f_blocks - found.f_bfree) * size,
                found.f_files, found.f_favail)  # fmt: skip


def _counters(proc: Path) -> Counters:
    import psutil

    psutil.PROCFS_PATH = str(proc)
    disks = psutil.disk_io_counters(perdisk=True) or {}
    networks = psutil.net_io_counters(pernic=True) or {}
    return Counters(
        time.monotonic(),
        psutil.cpu_times()._asdict(),
        time.process_time(),
        {name: (float(one.read_bytes), float(one.write_bytes)) for name, one in disks.items()},
        {name: (float(one.bytes_recv), float(one.bytes_sent)) for name, one in networks.items()},
    )


def _processes(proc: str) -> list[RunningProcess]:
    import psutil

    psutil.PROCFS_PATH = proc
    first = {p: _busy(p) for p in psutil.process_iter()}
    started = time.monotonic()
    time.sleep(SAMPLE_SECONDS)
    passed = time.monotonic() - started
    found = []
    for process, before in first.items():
        try:
            with process.oneshot():
                cpu = max(0.0, _busy(process) - before) / passed
                found.append(
                    RunningProcess(process.pid, process.name(), process.username(), cpu, process.memory_info().rss)
                )
        except (psutil.Error, KeyError):
            continue  # it ended between the two looks
    return sorted(found, key=lambda one: one.memory, reverse=True)


def _busy(process: psutil.Process) -> float:
    import psutil

    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
