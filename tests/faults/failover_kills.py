"""Kills opsbook with SIGKILL in the middle of failovers and rebuilds, and looks who is primary then.

What must hold, whatever the place: never two primaries; the same command again brings it to its end with exactly one,
which the pool leads to; in order, no transaction is lost; the rebuilt server streams, and nothing is left beside it.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.recovery_sweep import Swept
from tests.integration.failing_containers import Containers, on_compose
from tests.integration.failing_over import OPSBOOK, Pair, failing_pair
from tests.integration.podman import lacking
from tests.integration.servers import until

PATIENCE = 90.0
PLACES = (
    "fence running", "one is stopped,|two is stopped,", "fence done", "promote running", "is primary on timeline",
    "promote done", "pgbouncer.ini: written", "pool leads to", "env: written", "repoint done", "serves again",
)  # fmt: skip
"""What a failover tells; `|` between alternatives."""
REBUILDING = ("rebuild running", "one is stopped|two is stopped", "one: |two: ", "runs, pid")


@dataclass(frozen=True)
class Kill:
    """Where opsbook dies: when it tells something, and so many seconds later."""

    place: str
    planned: bool = False
    seconds: float = 0.0

    def __str__(self) -> str:
        what = "rebuild" if self.rebuild else "planned" if self.planned else "after a loss"
        return f"{what}, at {self.place} + {self.seconds:.2f} s"

    @property
    def rebuild(self) -> bool:
        return self.place in REBUILDING


@dataclass
class Survived:
    """What became of the kills."""

    kills: int = 0
    missed: int = 0
    """It had ended before the kill came."""
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.kills} kills in failovers and rebuilds ({self.missed} came too late); {len(self.wrong)} wrong"


IN_CONTAINERS = (
    Kill("fence running", False, 1.0), Kill("is stopped,", True), Kill("promote running", False, 1.0),
    Kill("is primary on timeline", False), Kill("rebuild running", False, 3.0),
)  # fmt: skip
"""A few: each takes half a minute there. The numbers of seconds fall into the making of a container, and into work."""


def all_kills(seed: int) -> list[Kill]:
    """Every border of both kinds of failover and of a rebuild, and moments within."""
    chance = random.Random(seed)
    borders = [Kill(place, planned) for place in PLACES for planned in (False, True)]
    moments = [Kill("fence running", chance.random() < 0.5, chance.uniform(0, 1.5)) for _ in range(10)]
    rebuilds = [Kill(place, False, delay) for place in REBUILDING for delay in (0.0, chance.uniform(0, 0.5))]
    return [*borders, *moments, *rebuilds, *(Kill("rebuild running", False, 0.15 * n) for n in range(1, 9))]


def sweep(pair: Pair | Containers, kills: Sequence[Kill]) -> Survived:
    """Each kill on the same pair, whose servers change places every time."""
    told = Survived()
    for number, kill in enumerate(kills):
        try:
            _one(pair, kill, number, told)
        except AssertionError as error:
            told.wrong.append(f"{kill}: {error}")
            break  # the pair is not what the next one expects
    return told


def _one(pair: Any, kill: Kill, number: int, told: Survived) -> None:
    (old,) = pair.primaries()
    new = pair.two if old == pair.one else pair.one
    mark = f"kill {number} at {time.time()}"
    old.sql(f"INSERT INTO jobs (state) VALUES ('{mark}')")
    until(lambda: old.replayed(new), 30, "the standby has all")
    if not kill.planned:
        pair.lose(old)
    words = ["failover-database", *(["planned=true"] if kill.planned else [])]
    if kill.rebuild:
        pair.done(*words)
    else:
        _killed_in(pair, words, kill, told)
        assert len(pair.primaries()) <= 1, "two primaries"
        pair.done(*words)
    _exactly(pair, new, mark)
    if kill.rebuild:
        _killed_in(pair, ["rebuild-database"], kill, told)
        assert pair.primaries() == [new], "a killed rebuild changed who is primary"
    pair.done("rebuild-database")
    _exactly(pair, new, mark)
    until(lambda: new.replayed(old), 30, "the rebuilt server streams")
    left = pair.left_behind(old)
    assert not left, f"left behind: {left}"


def _exactly(pair: Any, new: Any, mark: str) -> None:
    assert len(pair.primaries()) <= 1, "two primaries"
    until(lambda: pair.primaries() == [new], 60, f"{new} is the primary")
    assert pair.leads_to(new)
    assert pair.has(new, mark), "a transaction is lost"


def _killed_in(pair: Pair | Containers, words: list[str], kill: Kill, told: Survived) -> None:
    """Run the command and kill it there."""
    child = subprocess.Popen(
        [str(OPSBOOK), "run", *words, "--yes", "--book", str(pair.book)], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, env=pair.environment,
    )  # fmt: skip
    assert child.stdout is not None
    told.kills += 1
    deadline, said = time.monotonic() + PATIENCE, []
    try:
        for line in child.stdout:
            said.append(line)
            assert time.monotonic() < deadline, "it is stuck"
            if any(place in line for place in kill.place.split("|")):
                break
        else:
            raise AssertionError(f"it never told {kill.place}: {''.join(said[-5:])}")
        try:
            child.wait(kill.seconds or 0.001)
        except subprocess.TimeoutExpired:
            return
        told.missed += 1
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()


def failover_sweep(_: str, tell: Callable[[str], None], seed: int = 3) -> Swept:
    """All of it, each on a pair of its own: processes of this host, and containers where there can be any."""
    with failing_pair() as pair:
        told = sweep(pair, all_kills(seed))
    if not lacking():
        with on_compose() as contained:
            there = sweep(contained, IN_CONTAINERS)
        told = Survived(told.kills + there.kills, told.missed + there.missed, told.wrong + there.wrong)
    tell(str(told))
    return Swept(str(told), told.wrong)
