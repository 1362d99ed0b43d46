"""Values of a book as a person reads them: times, schedules, places, names."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from opsbook.book.people import BusinessHours
from opsbook.book.units import show_duration
from opsbook.manual.render.pieces import Code, Line, Piece, line

DAYS = {"0": "Sunday", "1": "Monday", "2": "Tuesday", "3": "Wednesday", "4": "Thursday", "5": "Friday",
        "6": "Saturday", "7": "Sunday"}  # fmt: skip
WEEKDAYS = {"SU": "Sunday", "MO": "Monday", "TU": "Tuesday", "WE": "Wednesday", "TH": "Thursday", "FR": "Friday",
            "SA": "Saturday"}  # fmt: skip


def duration(value: timedelta | None) -> str:
    """`5 min`; empty for none."""
    return "" if value is None else show_duration(value.total_seconds())


def moment(at: datetime) -> str:
    """Day and minute."""
    return f"{at:%Y-%m-%d %H:%M}"


def cron(written: str | None, timezone: str = "") -> Line:
    """A schedule in words where it is simple, else as it is written."""
    if not written:
        return ()
    told = _cron_words(written.split())
    piece: Piece = told if told else Code(written)
    return line(piece, f" ({timezone})" if timezone else "")


def _cron_words(fields: list[str]) -> str:
    minute, hour, day, month, weekday = fields
    if not (minute.isdigit() and hour.isdigit() and month == "*"):
        if minute.startswith("*/") and (hour, day, month, weekday) == ("*",) * 4:
            return f"every {minute[2:]} min"
        return "every hour" if minute == "0" and (hour, day, month, weekday) == ("*",) * 4 else ""
    at = f"at {int(hour):02d}:{int(minute):02d}"
    if day == "*" and weekday == "*":
        return f"every day {at}"
    if day == "*" and weekday in DAYS:
        return f"every {DAYS[weekday]} {at}"
    if weekday == "*" and day.isdigit():
        return f"on day {day} of each month {at}"
    return "on weekdays " + at if day == "*" and weekday == "1-5" else ""


def rule(written: str) -> Line:
    """A recurrence rule in words where it is simple, else as it is written."""
    parts = dict(part.split("=", 1) for part in written.split(";") if "=" in part)
    hour, minute = parts.pop("BYHOUR", ""), parts.pop("BYMINUTE", "0")
    at = f" at {int(hour):02d}:{int(minute):02d}" if hour.isdigit() and minute.isdigit() else ""
    day = re.fullmatch(r"(\d)?(SU|MO|TU|WE|TH|FR|SA)", parts.pop("BYDAY", "") or "")
    frequency = parts.pop("FREQ", "")
    if parts or not at:
        return (Code(written),)
    if frequency == "DAILY" and not day:
        return (f"every day{at}",)
    if frequency == "WEEKLY" and day and not day[1]:
        return (f"every {WEEKDAYS[day[2]]}{at}",)
    if frequency == "MONTHLY" and day and day[1]:
        ordinal = {"1": "first", "2": "second", "3": "third", "4": "fourth"}.get(day[1], "")
        return (f"on the {ordinal} {WEEKDAYS[day[2]]} of each month{at}",) if ordinal else (Code(written),)
    return (Code(written),)


def hours(value: BusinessHours | None) -> str:
    """When business hours are."""
    if value is None:
        return ""
    days = ", ".join(WEEKDAYS[day] for day in value.days)
    return f"{days} {value.start:%H:%M}–{value.end:%H:%M}" + (f" ({value.timezone})" if value.timezone else "")
