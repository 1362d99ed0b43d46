"""Measuring whole commands fairly: CPU of the process tree, wall time, several rounds in turn, medians and ratios."""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """Seconds of CPU (user and system, with children that ended) and of wall time."""

    cpu: float
    wall: float


def cost_of(work: Callable[[], object], pid: int | None = None) -> Cost:
    """What a piece of work costs this process and its children, or a server process that does it for us."""
    before, started = _cpu(pid), time.perf_counter()
    work()
    return Cost(_cpu(pid) - before, time.perf_counter() - started)


def _cpu(pid: int | None) -> float:
    if pid is not None:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def in_turn(works: dict[str, tuple[Callable[[], object], int | None]], rounds: int = 5) -> dict[str, Cost]:
    """The median cost of each, measured A B C A B C …, after one round that does not count."""
    costs: dict[str, list[Cost]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, (work, pid) in works.items():
            cost = cost_of(work, pid)
            if number:
                costs[name].append(cost)
    return {
        name: Cost(statistics.median(c.cpu for c in some), statistics.median(c.wall for c in some))
        for name, some in costs.items()
    }


def table(title: str, costs: dict[str, Cost], ours: str) -> None:
    """Print the costs, and ours as a ratio to each peer: below 1 we cost less."""
    print(f"\n{title}")
    print(f"  {'':44}{'CPU s':>9}{'wall s':>9}{'CPU, ours ÷ it':>16}{'wall, ours ÷ it':>17}")
    for name, cost in costs.items():
        ratios = "" if name == ours else f"{costs[ours].cpu / cost.cpu:>16.2f}{costs[ours].wall / cost.wall:>17.2f}"
        print(f"  {name:44}{cost.cpu:>9.3f}{cost.wall:>9.3f}{ratios}")
