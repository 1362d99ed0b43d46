"""Promises about recovery held against what was measured. Pure: measurements, sources and the time are arguments.

A promise is proven while the newest drill was good, kept it, and is not too old; and while what could be recovered from
now would keep it too. It is missed where either would not, and unproven where nobody knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from opsbook.book.recovery import Objective

if TYPE_CHECKING:
    from opsbook.connectors.backups.recoverable import Source

BARS = "▁▂▃▄▅▆▇█"
TREND = 12
"""Measurements that a trend shows."""


class Standing(StrEnum):
    """How a promise stands."""

    PROVEN = "proven"
    UNPROVEN = "unproven"
    MISSED = "missed"


@dataclass(frozen=True)
class Measured:
    """What one drill found. Seconds are None where it did not come so far."""

    at: datetime
    good: bool
    rto: float | None
    rpo: float | None
    lost_rows: int | None = None
    problems: tuple[str, ...] = ()
    run: str = ""
    source: str = ""
    """What was recovered from: the id of a backup, `standby`."""


@dataclass(frozen=True)
class Promise:
    """One figure of an objective: `rto` or `rpo`."""

    figure: str
    target: float
    """Seconds."""
    measured: float | None
    standing: Standing
    why: str
    """One sentence."""
    trend: tuple[float | None, ...]
    """Measured seconds, oldest first; None where a drill failed."""


@dataclass(frozen=True)
class Judged:
    """An objective as it stands now."""

    name: str
    promises: tuple[Promise, ...]
    last: Measured | None
    source: Source | None
    """The newest that could be recovered from."""

    @property
    def standing(self) -> Standing:
        """The worst of its promises."""
        found = {promise.standing for promise in self.promises}
        return next(one for one in (Standing.MISSED, Standing.UNPROVEN, Standing.PROVEN) if one in found)


def judged(
    name: str, objective: Objective, measured: Sequence[Measured], sources: Sequence[Source], now: datetime
) -> Judged:
    """Hold an objective against its drills (in any order) and against what could be recovered from now.

    Where it could be recovered from several sources, one that keeps all of the promise is enough: that one counts.
    """
    known = sorted(measured, key=lambda one: one.at)
    last = known[-1] if known else None
    best = counting(objective, known, now)
    whole = [one for one in sources if one.whole]
    newest = max(whole, key=lambda one: one.data_time, default=None)
    promises = []
    for figure, target in (("rto", objective.rto), ("rpo", objective.rpo)):
        if target is None:
            continue
        same = [one for one in known if best is None or one.source == best.source]
        figures = [getattr(one, figure) if one.good else None for one in same]
        standing, why = _standing(figure, target, last, best, newest, objective.prove_within, now)
        value = getattr(best, figure) if best else None
        promises.append(
            Promise(figure, target.total_seconds(), value, standing, why, tuple(figures[-TREND:]))
        )  # fmt: skip
    return Judged(name, tuple(promises), last, newest)


def counting(objective: Objective, known: Sequence[Measured], now: datetime) -> Measured | None:
    """The measurement that counts, of these from old to new: of each source the newest good one that measured what is
    promised; of those the newest that keeps it and is not too old; where none does, the newest of all.
    """
    promised = {figure: target for figure in ("rto", "rpo") if (target := getattr(objective, figure)) is not None}
    newest: dict[str, Measured] = {}
    for one in known:
        if one.good and all(getattr(one, figure) is not None for figure in promised):
            newest[one.source] = one
        elif not one.good:
            newest.pop(one.source, None)
    keeping = [
        one for one in newest.values()
        if now - one.at <= objective.prove_within
        and all(getattr(one, figure) <= target.total_seconds() for figure, target in promised.items())
    ]  # fmt: skip
    if keeping or newest:
        return max(keeping or newest.values(), key=lambda one: one.at)
    return known[-1] if known else None


def _standing(
    figure: str, target: timedelta, last: Measured | None, best: Measured | None, newest: Source | None,
    within: timedelta, now: datetime,
) -> tuple[Standing, str]:  # fmt: skip
    seconds = target.total_seconds()
    if last is None or best is None:
        return Standing.UNPROVEN, "it was never drilled"
    if not last.good:
        told = last.problems[0] if last.problems else "it did not come to its end"
        return Standing.MISSED, f"the last drill failed: {told}"
    value = getattr(best, figure)
    if value is None:
        return Standing.UNPROVEN, "the last drill did not measure it"
    if value > seconds:
        return Standing.MISSED, f"measured {duration(value)}, promised {duration(seconds)}"
    if figure == "rpo":
        if newest is None:
            return Standing.MISSED, "there is nothing to recover from now"
        age = (now - newest.data_time).total_seconds()
        if age > seconds:
            return Standing.MISSED, f"a loss now would cost {duration(age)} ({newest.name})"
    if now - best.at > within:
        return Standing.UNPROVEN, f"the last drill is {duration((now - best.at).total_seconds())} old"
    return Standing.PROVEN, f"measured {duration(value)}"


def sparkline(figures: Sequence[float | None], target: float) -> str:
    """One bar a measurement: the highest at the target or above, `×` where a drill failed."""
    return "".join("×" if one is None else BARS[_height(one, target)] for one in figures)


def _height(value: float, target: float) -> int:
    share = value / target if target > 0 else 1.0
    return max(0, min(len(BARS) - 1, int(share * len(BARS))))


def duration(seconds: float) -> str:
    """Seconds for people: `38 s` below a minute, `00:00:41` up to two days, else days."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"
    if seconds >= 2 * 86_400:
        return f"{seconds / 86_400:.0f} d"
    return clock(seconds)


def clock(seconds: float) -> str:
    """Seconds as hours, minutes and seconds: `02:00:00`. Rounded up, so that a promise is not kept by rounding."""
    whole = -int(-seconds // 1)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
