"""Requests and limits of a workload, recommended from what its instances used. Pure.

A scheduler keeps the request free, so that it should be what an instance uses nearly always; a limit on memory ends who
exceeds it, so that it stands above the most that was ever seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from opsbook.book.units import show_duration
from opsbook.upkeep.advice.contract import MEBI, Advice, Advised, near, size
from opsbook.upkeep.advice.observed import DAY, FEWEST, Observed, percentile

DOCS = "https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/"
ENOUGH_SECONDS = DAY
WEEK = 7 * DAY
OFTEN = 0.95
REQUEST_ROOM, LIMIT_ROOM, CPU_ROOM = 1.1, 1.2, 1.5
LEAST_CPU, LEAST_MEMORY = 0.01, 16 * MEBI
CHECKS = {"cpu": "workload.cores", "memory": "workload.memory"}
"""Observations whose stored values tell of the past."""


@dataclass(frozen=True)
class Given:
    """What a container asks for and may use now, in cores and bytes; None where nothing is set."""

    cpu_request: float | None = None
    memory_request: float | None = None
    cpu_limit: float | None = None
    memory_limit: float | None = None


@dataclass(frozen=True)
class Used:
    """What all instances together used, over time, and among how many it was shared."""

    instances: float
    cpu: Observed | None = None
    """In cores."""
    memory: Observed | None = None


def advise(
    component: str, used: Used, given: Given, enough: float = ENOUGH_SECONDS, *, applied: bool = True
) -> Advised:
    """Requests and limits of one instance."""
    told, untold = [], []
    found: list[Advice] = []
    for what, seen in (("cpu", used.cpu), ("memory", used.memory)):
        if seen is None:
            untold.append(f"no check stores its {what}: add one of `{CHECKS[what]}` of {component}")
            continue
        told.append(_told(what, seen, used.instances))
        if short := too_short(seen, enough):
            untold.append(f"{what}: {short}")
            continue
        rule = _cpu if what == "cpu" else _memory
        found += rule(component, seen, used.instances, given, applied)
    return Advised(component, "resources", tuple(found), tuple(told), tuple(untold))


def too_short(seen: Observed, enough: float) -> str:
    """Why what was seen does not tell; empty where it does."""
    if seen.seconds < enough:
        seconds = show_duration(seen.seconds)
        return f"`{seen.check}` was observed for {seconds}: too short to tell, {show_duration(enough)} are needed"
    if seen.count < FEWEST:
        return f"`{seen.check}` has {seen.count} values: too few to tell, {FEWEST} are needed"
    return ""


def _told(what: str, seen: Observed, instances: float) -> str:
    often, most = percentile(seen.means, OFTEN) / instances, seen.greatest / instances
    shown = cores if what == "cpu" else size
    measured = f"{seen.count:,} values of `{seen.check}` in {show_duration(seen.seconds)}, {instances:g} instances"
    return f"{what} of an instance: {shown(often)} in 95 of 100 cases, {shown(most)} at most ({measured})"


def cores(number: float) -> str:
    """Cores in thousandths, as Kubernetes writes them."""
    return f"{math.ceil(round(number * 1000, 6))}m"


def _cpu(component: str, seen: Observed, instances: float, given: Given, applied: bool) -> Iterator[Advice]:
    often, most = percentile(seen.means, OFTEN) / instances, seen.greatest / instances
    wanted = max(LEAST_CPU, math.ceil(often * 100) / 100)
    if given.cpu_request is None or not near(given.cpu_request, wanted):
        why = f"{cores(often)} suffice in 95 of 100 cases, {cores(most)} were used at most"
        yield _one(component, "cpu_request", given.cpu_request, wanted, cores, why, seen, applied,
                   "its node keeps less free for it" if (given.cpu_request or 0) > wanted else "a node that is full of "
                   "others has no more for it")  # fmt: skip
    if given.cpu_limit is not None and most > 0.9 * given.cpu_limit:
        why = f"{cores(most)} of {cores(given.cpu_limit)} were used: it is throttled there"
        yield _one(component, "cpu_limit", given.cpu_limit, math.ceil(most * CPU_ROOM * 100) / 100, cores, why, seen,
                   applied, "it may take more from its neighbours")  # fmt: skip


def _memory(component: str, seen: Observed, instances: float, given: Given, applied: bool) -> Iterator[Advice]:
    often, most = percentile(seen.means, OFTEN) / instances, seen.greatest / instances
    request, limit = (max(LEAST_MEMORY, _up(often * REQUEST_ROOM)), max(2 * LEAST_MEMORY, _up(most * LIMIT_ROOM)))
    if given.memory_request is None or not near(given.memory_request, request):
        why = f"{size(often)} suffice in 95 of 100 cases, and a tenth more"
        yield _one(component, "memory_request", given.memory_request, request, mebis, why, seen, applied,
                   "a node that is full of others has no more for it")  # fmt: skip
    if given.memory_limit is None or not near(given.memory_limit, limit):
        why = f"{size(most)} were used at most, and a fifth more"
        yield _one(component, "memory_limit", given.memory_limit, limit, mebis, why, seen, applied,
                   "an instance that ever needs more is ended")  # fmt: skip


def _up(number: float) -> float:
    return math.ceil(round(number / MEBI, 6)) * float(MEBI)


def mebis(number: float) -> str:
    """Bytes as Kubernetes writes them."""
    return f"{number / MEBI:.0f}Mi"


def _one(
    component: str, name: str, now: float | None, wanted: float, shown: object, why: str, seen: Observed, applied: bool,
    risk: str,
) -> Advice:  # fmt: skip
    assert callable(shown)
    if seen.seconds < WEEK:
        risk = f"{risk}; a week's rhythm was not seen yet"
    return Advice(component, name, shown(now) if now is not None else "not set", shown(wanted), why, DOCS, "deploy",
                  risk, applied)  # fmt: skip
