"""Whom an incident pages, and when. Pure in path, opening, acknowledgement, what was told, and now.

Invariants: no page before its time; each page once (`told` has it); nothing after somebody acknowledged; a rung whose
time has come is told or due, however long nobody looked: what a rung missed meanwhile is one page, not many.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from opsbook.book.people import Level


@dataclass(frozen=True)
class Rung:
    """One level of a path, as it was when the incident opened."""

    level: str
    notify: str
    within: timedelta = timedelta(0)
    repeat: timedelta | None = None


@dataclass(frozen=True)
class Page:
    """One call of one level. `number` counts its repetitions from zero."""

    rung: int
    number: int
    level: str
    notify: str
    at: datetime

    @property
    def key(self) -> str:
        """Its name within one round of the path."""
        return f"{self.rung}/{self.number}"

    @property
    def told(self) -> str:
        """Its name with whom it calls, as the outbox has it: a path may be exchanged within a round."""
        return f"{self.key}|{self.notify}"


LAST_REPEATS = timedelta(minutes=30)
"""How often the last level is called again where a book says of no level that it is."""


def path_of(levels: Iterable[Level]) -> tuple[Rung, ...]:
    """The path that a book writes. It never ends in silence: where no level is repeated the last one is."""
    path = tuple(Rung(one.level, one.notify, one.within, one.repeat) for one in levels)
    if path and not any(one.repeat for one in path):
        path = (*path[:-1], replace(path[-1], repeat=LAST_REPEATS))
    return path


def as_text(path: Sequence[Rung]) -> str:
    """A path for the store."""
    rows = [
        [one.level, one.notify, one.within.total_seconds(), one.repeat and one.repeat.total_seconds()] for one in path
    ]
    return json.dumps(rows)


def from_text(text: str) -> tuple[Rung, ...]:
    """A path of the store."""
    rows = json.loads(text) if text else []
    return tuple(
        Rung(level, notify, timedelta(seconds=within), timedelta(seconds=repeat) if repeat else None)
        for level, notify, within, repeat in rows
    )


def due(
    path: Sequence[Rung], opened: datetime, acknowledged: datetime | None, told: Collection[str], now: datetime
) -> tuple[list[Page], datetime | None]:
    """The pages that are due now, and when the next one will be; None where there is none."""
    if acknowledged is not None and acknowledged <= now:
        return [], None
    pages: list[Page] = []
    following: list[datetime] = []
    for place, rung in enumerate(path):
        first = opened + rung.within
        if first > now:
            following.append(first)
            continue
        number = (now - first) // rung.repeat if rung.repeat else 0
        page = Page(place, number, rung.level, rung.notify, first + (rung.repeat or timedelta(0)) * number)
        if page.told not in told:
            pages.append(page)
        if rung.repeat:
            following.append(page.at + rung.repeat)
    return pages, min(following, default=None)
