"""What time a report is about. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

Kind = Literal["handover", "daily", "weekly", "monthly", "audit"]
KINDS: tuple[Kind, ...] = ("handover", "daily", "weekly", "monthly", "audit")
BACK = {
    "handover": relativedelta(hours=12),
    "daily": relativedelta(days=1),
    "weekly": relativedelta(weeks=1),
    "monthly": relativedelta(months=1),
    "audit": relativedelta(months=1),
}
TITLE = {
    "handover": "Hand-over", "daily": "Daily report", "weekly": "Weekly report", "monthly": "Monthly operations report",
    "audit": "Audit report",
}  # fmt: skip


@dataclass(frozen=True)
class Span:
    """From a moment until just before another, aware UTC."""

    begin: datetime
    end: datetime

    @property
    def seconds(self) -> tuple[float, float]:
        """UTC seconds since 1970."""
        return self.begin.timestamp(), self.end.timestamp()

    def told(self, zone: str) -> str:
        """`2026-11-20 08:00 to 2026-11-21 08:00 (Europe/Berlin)`."""
        first, last = (one.astimezone(ZoneInfo(zone)) for one in (self.begin, self.end))
        return f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} ({zone})"

    @property
    def length(self) -> timedelta:
        return self.end - self.begin


def span_of(kind: Kind, now: datetime, zone: str) -> Span:
    """The time until now. A day, week or month back is counted on the wall clock of the zone."""
    if kind == "handover":
        return Span((now - BACK[kind]).astimezone(UTC), now.astimezone(UTC))
    local = now.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    begin = (local - BACK[kind]).replace(tzinfo=ZoneInfo(zone))
    return Span(begin.astimezone(UTC), now.astimezone(UTC))
