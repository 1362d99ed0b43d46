"""When each check is due. Pure.

Time is cut into slots of a check's interval; a check runs once in a slot. Where a slot begins is shifted by a stable
hash, so that the checks of a book are spread over the interval and a restart changes nothing of it. Checks of one
component that have the same shift are asked together, a few at a time: what a reader fetches in one go costs once.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from opsbook.book.checks import Check

TOGETHER = 25
"""Checks of a component that share a shift: enough for one statement or page, few enough to leave no peak."""


def fraction(text: str) -> float:
    """A place between 0 and 1 that is the same everywhere and always for this text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) / 2**64


def shifts(checks: Iterable[Check]) -> dict[str, float]:
    """By check id, at which part of its interval it is due."""
    known = list(checks)
    many = Counter(check.of for check in known)
    groups = {component: math.ceil(count / TOGETHER) for component, count in many.items()}
    return {check.id: fraction(f"{check.of}/{int(fraction(check.id) * groups[check.of])}") for check in known}


def slot(at: datetime, interval: timedelta, shift: float) -> int:
    """The number of the slot that a moment lies in. Slots begin at whole seconds."""
    length = max(interval.total_seconds(), 1.0)
    return math.floor((at.timestamp() - math.floor(shift * length)) / length)


def next_slot(at: datetime, interval: timedelta, shift: float) -> datetime:
    """When the slot after that begins."""
    length = max(interval.total_seconds(), 1.0)
    start = (slot(at, interval, shift) + 1) * length + math.floor(shift * length)
    return datetime.fromtimestamp(start, tz=at.tzinfo)


def is_due(last: datetime | None, now: datetime, interval: timedelta, shift: float) -> bool:
    """Whether it has not run in this slot. After a clock was set back it runs at once, in the slot of then."""
    return last is None or slot(last, interval, shift) != slot(now, interval, shift)


def lanes(linked: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Component → the name of its lane: those that share a connection are never asked side by side."""
    lane = {name: name for name in linked}

    def root(name: str) -> str:
        while lane[name] != name:
            name = lane[name]
        return name

    for name, others in linked.items():
        for other in others:
            if other in lane:
                lane[root(name)] = root(other)
    return {name: root(name) for name in lane}
