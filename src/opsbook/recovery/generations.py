"""Which backups are kept, and why. A pure choice over times: nothing here reads a clock or a store.

A rule keeps the newest usable backup of each of its newest so many periods that have one (days, weeks … of the book's
time zone; periods without a backup do not count). Whatever the rules say, these stay: one that is held, the newest
usable one, the newest that a restore has proven, and one from the future, whose age nobody can know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from opsbook.book.recovery import Generations


@dataclass(frozen=True)
class Candidate:
    """A stored backup, as far as the choice depends on it."""

    stamp: str
    at: datetime
    """What it holds was so at this time (aware)."""
    proven: bool | None = None
    """Restored and right; found damaged; or never tried."""
    holds: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        return self.proven is not False


@dataclass(frozen=True)
class Choice:
    """A backup and why it stays. No reason: it goes."""

    candidate: Candidate
    reasons: tuple[str, ...] = field(default=())

    @property
    def kept(self) -> bool:
        return bool(self.reasons)

    @property
    def sentence(self) -> str:
        """Why it stays or goes, for people."""
        if self.kept:
            return ", ".join(self.reasons)
        return "no rule keeps it" if self.candidate.usable else "damaged, and a good one is there"


PERIODS: tuple[tuple[str, Callable[[datetime], object]], ...] = (
    ("hourly", lambda at: (at.date(), at.hour, at.utcoffset())),
    ("daily", lambda at: at.date()),
    ("weekly", lambda at: at.isocalendar()[:2]),
    ("monthly", lambda at: (at.year, at.month)),
    ("yearly", lambda at: at.year),
)


def choose(candidates: Iterable[Candidate], keep: Generations, now: datetime, zone: tzinfo) -> list[Choice]:
    """The choice for each backup of one id, the newest first."""
    ordered = sorted(candidates, key=lambda one: (one.at, one.stamp), reverse=True)
    usable = [one for one in ordered if one.usable]
    reasons: dict[str, list[str]] = {one.stamp: [] for one in ordered}
    for one in ordered:
        reasons[one.stamp] += [f"held: {name}" for name in one.holds]
        if one.at > now:
            reasons[one.stamp].append("from the future")
    if usable:
        reasons[usable[0].stamp].append("newest")
    proven = [one for one in usable if one.proven]
    if proven and proven[0] is not usable[0]:
        reasons[proven[0].stamp].append("newest that is proven")
    for one, reason in _by_rule(usable, keep, now, zone):
        reasons[one.stamp].append(reason)
    if not usable:
        for one in ordered:
            reasons[one.stamp].append("nothing better is there")
    return [Choice(one, tuple(reasons[one.stamp])) for one in ordered]


def _by_rule(
    usable: Sequence[Candidate], keep: Generations, now: datetime, zone: tzinfo
) -> Iterable[tuple[Candidate, str]]:
    if keep == Generations():
        yield from ((one, "all are kept") for one in usable)
    for number, one in enumerate(usable[: keep.last], 1):
        yield one, f"last {number} of {keep.last}"
    if keep.within is not None:
        yield from ((one, "young enough") for one in usable if now - one.at <= keep.within)
    for name, period in PERIODS:
        wanted: int = getattr(keep, name)
        seen: set[object] = set()
        for one in usable:
            if len(seen) == wanted:
                break
            which = period(one.at.astimezone(zone))
            if which not in seen:
                seen.add(which)
                yield one, f"{name} {len(seen)} of {wanted}"
