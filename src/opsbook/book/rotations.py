"""Who is on call at a moment. Pure: the book's rotations and the moment are arguments.

Invariants: at any moment a rotation has exactly one answer; turns follow each other in the order of `members`, without
gap and overlap; a hand-over is at the same wall-clock time of the rotation's zone, whatever the season.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from opsbook.book.business import Calendar, calendar
from opsbook.book.model import BookModel
from opsbook.book.people import OnCall

LONGEST_LOOK = timedelta(days=371)
"""How far gaps are looked for: a rotation with longer turns is looked at for this long."""
Why = Literal["turn", "override", "backup", "nobody"]


@dataclass(frozen=True)
class Duty:
    """Who answers for a rotation, and why. `who` is empty where nobody does."""

    rotation: str
    who: str
    why: Why = "turn"
    via: str = ""
    """The rotation that stands in, where the backup is one."""


@dataclass(frozen=True)
class Stretch:
    """A duty from a moment until another, in UTC."""

    duty: Duty
    start: datetime
    end: datetime


def on_call(book: BookModel, rotation: str, moment: datetime) -> Duty:
    """Who answers at a moment. The last override that covers it wins."""
    return _duty(book.oncall, rotation, _zones(book), _holidays(book), moment, ())


def stretches(book: BookModel, rotation: str, start: datetime, end: datetime) -> list[Stretch]:
    """Who answers from `start` until `end`, without gap; equal neighbours are one."""
    found: list[Stretch] = []
    edges = sorted({start, *(one for one in _edges(book, rotation, start, end, ()) if start < one < end)})
    for begins, ends in zip(edges, [*edges[1:], end], strict=True):
        duty = on_call(book, rotation, begins)
        if found and found[-1].duty == duty:
            found[-1] = Stretch(duty, found[-1].start, ends)
        else:
            found.append(Stretch(duty, begins.astimezone(UTC), ends.astimezone(UTC)))
    return found


def gaps(book: BookModel, rotation: str, start: datetime | None = None) -> list[Stretch]:
    """When nobody answers: until the end of one round of all members, from `start` or from the rotation's own."""
    one = book.oncall[rotation]
    first = as_aware(one.start, zone_of(book, one))
    begins = start or first
    # A week more than one round: hours may be of other days than turns.
    length = min(one.turn * len(one.members) + timedelta(days=7), LONGEST_LOOK)
    end = max(begins, min(first, begins + LONGEST_LOOK)) + length
    return [found for found in stretches(book, rotation, begins, end) if not found.duty.who]


def told_gap(gap: Stretch, zone: ZoneInfo) -> str:
    """A gap as people say it: `Sat 02:00–09:00`, `Fri 17:00–Mon 09:00`; with dates where it is a week or longer."""
    start, end = gap.start.astimezone(zone), gap.end.astimezone(zone)
    if end - start >= timedelta(days=7):
        return f"{start:%Y-%m-%d %H:%M}–{end:%Y-%m-%d %H:%M}"
    same = start.date() == end.date() or (end - start < timedelta(days=1) and f"{end:%H:%M}" == "00:00")
    return f"{start:%a %H:%M}–{end:%H:%M}" if same else f"{start:%a %H:%M}–{end:%a %H:%M}"


def gaps_told(book: BookModel, rotation: str, start: datetime | None = None) -> list[str]:
    """The gaps of a rotation, each kind once, in order."""
    zone = zone_of(book, book.oncall[rotation])
    return list(dict.fromkeys(told_gap(gap, zone) for gap in gaps(book, rotation, start)))


def zone_of(book: BookModel, rotation: OnCall) -> ZoneInfo:
    """The zone in which its turns change."""
    return ZoneInfo(str(rotation.timezone or book.timezone))


def _duty(
    known: Mapping[str, OnCall],
    name: str,
    zones: Mapping[str, str],
    holidays: frozenset[date],
    moment: datetime,
    seen: tuple[str, ...],
) -> Duty:
    rotation = known[name]
    zone = ZoneInfo(zones[name])
    for shift in reversed(rotation.overrides):
        if as_aware(shift.start, zone) <= moment < as_aware(shift.end, zone):
            return Duty(name, shift.who, "override")
    if _runs(rotation, zones[name], holidays).open(moment) and (member := member_at(rotation, zone, moment)):
        return Duty(name, member)
    backup = rotation.backup
    if backup in known and backup not in (*seen, name):
        other = _duty(known, str(backup), zones, holidays, moment, (*seen, name))
        return Duty(name, other.who, "backup" if other.who else "nobody", str(backup) if other.who else "")
    if backup and backup not in known:
        return Duty(name, backup, "backup")
    return Duty(name, "", "nobody")


def member_at(rotation: OnCall, zone: ZoneInfo, moment: datetime) -> str:
    """Whose turn it is; nobody's before the first."""
    number = _turn(rotation, zone, moment)
    return rotation.members[number % len(rotation.members)] if number >= 0 else ""


def _turn(rotation: OnCall, zone: ZoneInfo, moment: datetime) -> int:
    """The number of the turn at a moment; negative before the first."""
    local = moment.astimezone(zone).replace(tzinfo=None)
    number = (local - _wall(rotation.start, zone)) // rotation.turn
    # Wall-clock time goes back once a year: the turn that has begun does not end by that.
    while moment < _handover(rotation, zone, number):
        number -= 1
    while moment >= _handover(rotation, zone, number + 1):
        number += 1
    return number


def _handover(rotation: OnCall, zone: ZoneInfo, number: int) -> datetime:
    """When a turn begins."""
    return (_wall(rotation.start, zone) + rotation.turn * number).replace(tzinfo=zone).astimezone(UTC)


def _runs(rotation: OnCall, zone: str, holidays: frozenset[date]) -> Calendar:
    return calendar(rotation.hours, zone, holidays)


def _edges(book: BookModel, name: str, start: datetime, end: datetime, seen: tuple[str, ...]) -> Iterator[datetime]:
    """Every moment at which the answer may change."""
    rotation = book.oncall[name]
    zone = zone_of(book, rotation)
    number = _turn(rotation, zone, start)
    while (edge := _handover(rotation, zone, number)) < end:
        yield edge
        number += 1
    for shift in rotation.overrides:
        yield from (as_aware(shift.start, zone), as_aware(shift.end, zone))
    for opens, closes in _runs(rotation, str(zone), _holidays(book)).spans(start):
        yield from (opens, closes)
        if closes >= end:
            break
    if rotation.backup in book.oncall and rotation.backup not in (*seen, name):
        yield from _edges(book, str(rotation.backup), start, end, (*seen, name))


def _zones(book: BookModel) -> dict[str, str]:
    return {name: str(one.timezone or book.timezone) for name, one in book.oncall.items()}


def _holidays(book: BookModel) -> frozenset[date]:
    return frozenset(one.day for one in book.holidays)


def as_aware(moment: datetime, zone: ZoneInfo) -> datetime:
    """A moment of the book; a naive one is meant in the zone of its rotation."""
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _wall(moment: datetime, zone: ZoneInfo) -> datetime:
    """The naive wall-clock time of a moment in a zone; a naive one is meant there already."""
    return moment.astimezone(zone).replace(tzinfo=None) if moment.tzinfo else moment


def rotations_of(book: BookModel) -> Iterable[str]:
    """The names of the rotations, in the book's order."""
    return book.oncall
