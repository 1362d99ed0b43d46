"""The clocks of an incident: until somebody answers, until it is over. Pure.

A severity promises `respond` and `resolve`; where it has business hours, its clocks stand still outside of them and on
holidays. A clock counts from the opening, or for a reopened incident from then, whatever severity it got meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from opsbook.book.business import NEVER, Calendar, calendar, deadline, elapsed
from opsbook.book.model import BookModel
from opsbook.book.people import Severity
from opsbook.book.units import show_duration
from opsbook.store.incidents import Incident

Name = Literal["respond", "resolve"]
NEARLY = 0.8
"""The share of a promise after which somebody is told that it runs out."""
AT_ONCE = timedelta(minutes=1)
"""A promise to answer at once is held to this: nobody answers in no time."""


@dataclass(frozen=True)
class Clock:
    """One promise about an incident, as it stands at a moment."""

    name: Name
    promised: timedelta
    used: timedelta
    deadline: datetime
    nearly: datetime
    """When it is to be said that it runs out."""
    ended: datetime | None = None
    business: bool = False

    @property
    def missed(self) -> bool:
        return self.used > self.promised

    @property
    def left(self) -> timedelta:
        return self.promised - self.used

    @property
    def standing(self) -> Literal["kept", "missed", "runs", "late"]:
        """How the promise stands: kept or missed where it ended; it runs, or is late already, where it did not."""
        if self.ended is not None:
            return "missed" if self.missed else "kept"
        return "late" if self.missed else "runs"

    @property
    def told(self) -> str:
        """For people: `respond: 12 min left of 15 min`."""
        promised = show_duration(self.promised.total_seconds()) + (" of business hours" if self.business else "")
        used = show_duration(self.used.total_seconds())
        if self.ended is not None:
            return f"{self.name}: {self.standing}, {used} of {promised}"
        if self.missed:
            return f"{self.name}: missed, late by {show_duration((-self.left).total_seconds())} (promised {promised})"
        return f"{self.name}: {show_duration(self.left.total_seconds())} left of {promised}"


def clocks(book: BookModel, one: Incident, now: datetime) -> list[Clock]:
    """The clocks of an incident at a moment; none for promises that its severity does not make."""
    grade = book.severities.get(one.severity)
    if grade is None or one.kind == "practice":
        return []
    hours = _hours(book, grade)
    begun = counted_from(one)
    over = moment(one.resolved_at) if one.resolved_at is not None else None
    answered = moment(one.acknowledged_at) if one.acknowledged_at is not None else over
    found = []
    promises: tuple[tuple[Name, timedelta | None, datetime | None], ...] = (
        ("respond", grade.respond, answered),
        ("resolve", grade.resolve, over),
    )
    for name, promised, ended in promises:
        if promised is None:
            continue
        budget = max(promised, AT_ONCE)
        used = elapsed(hours, begun, min(ended or now, now))
        found.append(
            Clock(
                name, budget, used, deadline(hours, begun, budget), deadline(hours, begun, budget * NEARLY),
                ended, grade.business_hours is not None,
            )
        )  # fmt: skip
    return found


def counted_from(one: Incident) -> datetime:
    """Since when somebody should have answered: the opening, or the last reopening."""
    if one.clocks_from is not None:
        return moment(one.clocks_from)
    return moment(one.round_at if one.reopened and one.round_at is not None else one.opened_at)


def update_due(book: BookModel, one: Incident) -> datetime | None:
    """When the next status update of an incident is due; None where none is promised."""
    grade = book.severities.get(one.severity)
    if grade is None or grade.update_every is None or one.over or one.kind == "practice":
        return None
    hours = _hours(book, grade)
    last = max(one.updated_at or 0.0, one.round_at if one.round_at is not None else one.opened_at)
    found = deadline(hours, moment(last), grade.update_every)
    return None if found >= NEVER else found


def updates_missed(book: BookModel, one: Incident, due: datetime, now: datetime) -> tuple[int, datetime]:
    """How many more updates were due after the one of `update_due`, and when the next one is. None is out of hours."""
    grade = book.severities[one.severity]
    assert grade.update_every is not None
    hours = _hours(book, grade)
    more = elapsed(hours, due, now) // grade.update_every
    return more, deadline(hours, due, grade.update_every * (more + 1))


def _hours(book: BookModel, grade: Severity) -> Calendar:
    return calendar(grade.business_hours, book.timezone, [day.day for day in book.holidays])


def moment(at: float) -> datetime:
    """A stored moment as aware UTC."""
    return datetime.fromtimestamp(at, UTC)
