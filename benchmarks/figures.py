"""Measuring whole commands fairly: CPU of the process tree, wall time, several rounds in turn, medians and ratios."""

from __future__ import annotations

import json
import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

KEPT = "OPSBOOK_BENCH_FIGURES"
"""The variable that names the file into which figures are told."""


@dataclass(frozen=True)
class Cost:
    """Seconds of CPU (user and system, with children that ended) and of wall time."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Figure:
    """One row of the table that `make bench` ends with. `value` and `peer_value` are of one unit."""

    what: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    aim: str = ""
    """What the ratio should be."""

    @property
    def ratio(self) -> float | None:
        """Ours divided by the peer's."""
        return self.value / self.peer_value if self.peer_value else None

    def __str__(self) -> str:
        peer = "" if self.peer_value is None else f"{self.peer_value:>12,.{digits(self.peer_value)}f}"
        ratio = "" if self.ratio is None else f"{self.ratio:>9.3f}"
        ours = f"{self.value:>12,.{digits(self.value)}f}"
        return f"  {self.what:42}{ours} {self.unit:16}{peer:12}{ratio:9}  {self.peer}{self.aim and f' ({self.aim})'}"


def digits(value: float) -> int:
    """How many decimals are worth showing."""
    return 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2


def tell(figure: Figure) -> None:
    """Print a figure, and keep it for the table at the end of `make bench`."""
    print(figure, flush=True)
    tell_later(figure)


def tell_later(figure: Figure) -> None:
    """Keep a figure for the table at the end of `make bench`."""
    if kept := os.environ.get(KEPT):
        with Path(kept).open("a") as file:
            file.write(json.dumps(asdict(figure)) + "\n")


def told(file: Path) -> list[Figure]:
    """What the benchmarks have told into this file."""
    return [Figure(**json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []


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
        if name != ours:
            tell_later(Figure(f"{title}, CPU", costs[ours].cpu, "s", name, cost.cpu))
            tell_later(Figure(title, costs[ours].wall, "s", name, cost.wall))
        ratios = "" if name == ours else f"{costs[ours].cpu / cost.cpu:>16.2f}{costs[ours].wall / cost.wall:>17.2f}"
        print(f"  {name:44}{cost.cpu:>9.3f}{cost.wall:>9.3f}{ratios}")
