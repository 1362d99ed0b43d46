"""Stored backups as the choice of generations sees them, and that choice as prune and its picture need it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from opsbook.book.recovery import Backup, Generations
from opsbook.book.system import System
from opsbook.book.units import write_duration
from opsbook.connectors.backups.catalogue import StoredBackup
from opsbook.connectors.backups.pruning import Chosen, chosen_by
from opsbook.recovery.generations import PERIODS, Candidate, choose


class Mark(StrEnum):
    """How a backup stands in the picture of the generations. The order is what a period shows of its backups."""

    HELD = "◆"
    PROVEN = "●"
    UNPROVEN = "○"
    DAMAGED = "×"
    GOING = "−"
    NONE = "·"


NAMES = {Mark.HELD: "held", Mark.PROVEN: "proven", Mark.UNPROVEN: "unproven", Mark.DAMAGED: "damaged",
         Mark.GOING: "goes", Mark.NONE: "none"}  # fmt: skip


def zone_of(system: System, backup: Backup) -> ZoneInfo:
    """The time zone whose days and months its generations are counted in."""
    return ZoneInfo(str(backup.timezone or system.model.timezone))


def candidate(one: StoredBackup, now: datetime) -> Candidate:
    """Proven by its newest proof; damaged also where parts are missing or the signature is wrong."""
    proven = one.proofs[-1].good if one.proofs else None
    holds = tuple(f"{hold.name} ({hold.reason})" for hold in one.held(now))
    return Candidate(one.manifest.stamp, one.manifest.data_time, proven if one.whole else False, holds)


def chosen(system: System, backup: Backup, stored: Sequence[StoredBackup], now: datetime) -> list[Chosen]:
    """What becomes of each, newest first. Those that another environment took are not this one's to judge."""
    own = {one.manifest.stamp: one for one in stored if one.manifest.environment == system.name}
    others = [one for one in stored if one.manifest.environment != system.name]
    choice = choose([candidate(one, now) for one in own.values()], backup.keep, now, zone_of(system, backup))
    found = [Chosen(own[one.candidate.stamp], one.kept, one.sentence) for one in choice]
    found += [Chosen(one, True, f"of the environment {one.manifest.environment}") for one in others]
    return sorted(found, key=lambda one: (one.stored.manifest.data_time, one.stored.manifest.stamp), reverse=True)


chosen_by(chosen)


def rules(keep: Generations) -> str:
    """What is kept, in words: `7 daily, 4 weekly, 12 monthly`."""
    if keep == Generations():
        return "all"
    words = [f"the last {keep.last}"] if keep.last else []
    if keep.within is not None:
        words.append(f"all of {write_duration(keep.within.total_seconds())}")
    return ", ".join([*words, *(f"{number} {name}" for name, _ in PERIODS if (number := getattr(keep, name)))])


def mark(one: Chosen, now: datetime) -> Mark:
    """How a backup stands."""
    known = candidate(one.stored, now)
    if not one.kept:
        return Mark.DAMAGED if known.proven is False else Mark.GOING
    if known.holds:
        return Mark.HELD
    return {True: Mark.PROVEN, False: Mark.DAMAGED, None: Mark.UNPROVEN}[known.proven]


def timeline(chosen: Sequence[Chosen], unit: str, periods: int, now: datetime, zone: ZoneInfo) -> list[Mark]:
    """One mark for each of so many days, weeks or months up to now, oldest first: the best that the period has."""
    order, period = list(Mark), dict(PERIODS)[unit]
    best: dict[object, Mark] = {}
    for one in chosen:
        which = period(one.stored.manifest.data_time.astimezone(zone))
        best[which] = min(best.get(which, Mark.NONE), mark(one, now), key=order.index)
    return [best.get(period(at), Mark.NONE) for at in beginnings(unit, periods, now, zone)]


def beginnings(unit: str, periods: int, now: datetime, zone: ZoneInfo) -> list[datetime]:
    """A moment in each of so many periods up to now, oldest first."""
    today = now.astimezone(zone).replace(hour=12, minute=0, second=0, microsecond=0)
    if unit == "monthly":
        months = [today.year * 12 + today.month - 1 - n for n in range(periods)]
        return [today.replace(year=month // 12, month=month % 12 + 1, day=1) for month in reversed(months)]
    step = timedelta(days=7 if unit == "weekly" else 1)
    return [today - n * step for n in reversed(range(periods))]
