"""Service levels: the share of time in which a check is ok, the error budget that is left of it, and how fast it burns.

Burn rates are those of Google's SRE workbook (chapter 5, "Alerting on SLOs", multiwindow, multi-burn-rate): a rate of 1
uses up the budget exactly over the time of the promise; 14.4 uses 2 % of a month's in an hour. Both a long and a short
window must burn, so that an alert ends soon after the fault did. Missing data counts neither way.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from opsbook.book.checks import Slo
from opsbook.checks.evaluate import State
from opsbook.store import rollups
from opsbook.store.database import reading
from opsbook.watch.contract import Signal, Watch
from opsbook.watch.deciding import tell
from opsbook.watch.registry import part

FAST = (timedelta(hours=1), timedelta(minutes=5))
SLOW = (timedelta(hours=6), timedelta(minutes=30))
FEWEST = 3
"""Results that a window needs to say anything."""
RHYTHM = timedelta(minutes=1)


@dataclass(frozen=True)
class Share:
    """What of a time was ok."""

    good: int
    bad: int
    unknown: int

    @property
    def known(self) -> int:
        return self.good + self.bad

    @property
    def ok(self) -> float | None:
        """Between 0 and 1; None where nothing is known."""
        return self.good / self.known if self.known else None

    def __add__(self, other: Share) -> Share:
        return Share(self.good + other.good, self.bad + other.bad, self.unknown + other.unknown)


def share(counts: Mapping[str, int]) -> Share:
    """From how many results were in each state. Only ok is ok: a warning is a promise that is not quite kept."""
    bad = counts.get("warning", 0) + counts.get("critical", 0)
    return Share(counts.get("ok", 0), bad, counts.get("unknown", 0))


def burn(part_of: Share, target: float) -> float | None:
    """How many times too fast the budget burns; None where too little is known."""
    if part_of.known < FEWEST or part_of.ok is None:
        return None
    budget = 1 - target
    spent = 1 - part_of.ok
    if budget <= 0:
        return math.inf if spent > 0 else 0.0
    return spent / budget


@dataclass(frozen=True)
class Level:
    """How a promise stands."""

    slo: Slo
    whole: Share
    """Over the time of the promise."""
    fast: tuple[float | None, float | None]
    """Burn over the long and the short window of the fast pair."""
    slow: tuple[float | None, float | None]

    @property
    def budget_left(self) -> float | None:
        """The share of the error budget that is not spent; below 0 where the promise is broken. None: not known."""
        spent = burn(self.whole, self.slo.target)
        return None if spent is None else 1 - spent

    @property
    def state(self) -> State:
        if _burns(self.fast, self.slo.burn_fast):
            return State.CRITICAL
        return State.WARNING if _burns(self.slow, self.slo.burn_slow) else State.OK

    @property
    def sentence(self) -> str:
        """For people."""
        if self.whole.ok is None:
            return "nothing was measured yet"
        left = self.budget_left
        told = f"ok {self.whole.ok * 100:.6g} % of the time, promised {self.slo.target * 100:.6g} %"
        if left is not None and math.isfinite(left):
            told += f"; {left:.0%} of the error budget is left" if left >= 0 else "; the error budget is spent"
        for name, pair in (("hour", self.fast), ("six hours", self.slow)):
            if pair[0] is not None and pair[0] > 1:
                told += f"; in the last {name} it burnt {_times(pair[0])} too fast"
        return told


def _times(rate: float) -> str:
    return f"{rate:.1f} times" if math.isfinite(rate) else "infinitely"


def _burns(pair: tuple[float | None, float | None], limit: float) -> bool:
    return all(rate is not None and rate > limit for rate in pair)


def availability(connection: Connection, where: Mapping[str, str], check: str, start: datetime, end: datetime) -> Share:
    """What of a time a check was ok: from five-minute figures, and from single results where none are made yet."""
    begin, until = start.timestamp(), end.timestamp()
    rolled = rollups.rolled_until(connection, where, rollups.FIVE_MINUTES) or begin
    cut = min(max(rolled, begin), until)
    found = Share(0, 0, 0)
    for one in rollups.figures(connection, where, check, rollups.FIVE_MINUTES, begin, cut):
        found += Share(one.ok, one.warning + one.critical, one.unknown)
    return found + share(rollups.counted(connection, where, check, cut, until))


def level(connection: Connection, where: Mapping[str, str], slo: Slo, now: datetime) -> Level:
    """How one promise stands."""

    def rate(over: timedelta) -> float | None:
        counts = rollups.counted(connection, where, slo.check, (now - over).timestamp(), now.timestamp() + 1)
        return burn(share(counts), slo.target)

    whole = availability(connection, where, slo.check, now - slo.over, now)
    return Level(slo, whole, (rate(FAST[0]), rate(FAST[1])), (rate(SLOW[0]), rate(SLOW[1])))


def levels(watch: Watch, now: datetime) -> Iterator[Level]:
    """How all promises of the book stand. Blocking."""
    known = {check.id for check in watch.system.checks}
    with reading(watch.setting.store) as connection:
        for slo in watch.system.model.slos:
            if slo.check in known:
                yield level(connection, watch.where, slo, now)


@part
class Slos:
    """Tells when an error budget burns too fast."""

    name = "slos"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    async def tick(self, now: datetime) -> datetime:
        if not self.watch.system.model.slos:
            return now + timedelta(hours=1)
        found = await asyncio.to_thread(lambda: list(levels(self.watch, now)))
        await tell(self.watch, [_signal(self.watch, one, now) for one in found])
        return now + RHYTHM


def _signal(watch: Watch, found: Level, now: datetime) -> Signal:
    check = next(one for one in watch.system.checks if one.id == found.slo.check)
    return Signal(
        fingerprint=f"slo:{found.slo.id}",
        source="opsbook",
        at=now,
        state=found.state,
        title=f"error budget of {found.slo.title or found.slo.id}",
        sentence=found.sentence,
        shown="" if found.whole.ok is None else f"{found.whole.ok:.3%}",
        component=check.of,
        procedure=check.procedure or "",
    )
