"""What this host's kernel says of a process and its children."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from opsbook.connectors.blocking import on_thread
from opsbook.connectors.runtimes.contract import Usage

if TYPE_CHECKING:
    import psutil

SAMPLE_SECONDS = 0.5


def directory(pid: int) -> str:
    """The working directory, symlinks resolved; empty where it cannot be read."""
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink()).removesuffix(" (deleted)")
    except OSError:
        return ""


def environment(pid: int) -> dict[str, str]:
    """The variables that it was started with; empty where they cannot be read."""
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.decode("utf-8", errors="replace").partition("=") for entry in raw.split(b"\0") if entry)
    return {name: value for name, _, value in pairs}


async def usage(pids: Sequence[int]) -> Usage:
    """CPU over a short sample, and memory now. Limits are the host's: supervisor sets none."""
    import psutil

    trees = await on_thread(("tree", *pids), _trees, pids)
    before = _cpu_seconds(trees)
    clock = asyncio.get_running_loop().time
    started = clock()
    await asyncio.sleep(SAMPLE_SECONDS)
    after = _cpu_seconds(trees)
    used = sum(after[pid] - before[pid] for pid in after if pid in before)
    memory = await on_thread(("memory", *pids), _memory, trees)
    limit = float(psutil.virtual_memory().total)
    return Usage(used / (clock() - started), memory, limit, float(os.cpu_count() or 1))


def _trees(pids: Iterable[int]) -> list[psutil.Process]:
    import psutil

    found = {}
    for pid in pids:
        try:
            root = psutil.Process(pid)
            for process in (root, *root.children(recursive=True)):
                found[process.pid] = process
        except psutil.Error:
            continue  # it ended between two looks
    return list(found.values())


def _cpu_seconds(processes: Iterable[psutil.Process]) -> dict[int, float]:
    import psutil

    found = {}
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        found[process.pid] = times.user + times.system
    return found


def _memory(processes: Iterable[psutil.Process]) -> float:
    """Proportional set size, so that pages shared by forked workers count once; resident size where it is denied."""
    import psutil

    total = 0.0
    for process in processes:
        try:
            total += _proportional(process.pid) or process.memory_info().rss
        except psutil.Error:
            continue
    return total


def _proportional(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0.0)
