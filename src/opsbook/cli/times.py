"""Times as people type them: a length, or a moment by the book's clock."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from opsbook.book.units import Dimension, parse_quantity
from opsbook.errors import UsageError


def span(written: str, option: str) -> timedelta:
    """`90m`, `2h`, `7d`. Raises UsageError."""
    try:
        quantity = parse_quantity(written)
    except ValueError as error:
        raise UsageError(f"{option} {written}: {error}", "write a time such as 2h") from error
    if quantity.dimension is not Dimension.DURATION or quantity.value <= 0:
        raise UsageError(f"{option} {written} is not a length of time", "write a time such as 2h")
    return timedelta(seconds=quantity.value)


def moment(written: str, option: str, zone: ZoneInfo, now: datetime) -> datetime:
    """`18:00` (the next one), `2026-11-22`, `2026-11-22T18:00`: by the book's clock, or with an offset.

    Raises UsageError.
    """
    try:
        if len(written) <= 5 and ":" in written:
            local = now.astimezone(zone)
            found = datetime.combine(local.date(), time.fromisoformat(written), zone)
            return found if found > local else datetime.combine(local.date() + timedelta(days=1), found.time(), zone)
        found = datetime.fromisoformat(written)
    except ValueError as error:
        raise UsageError(f"{option} {written} is no time", "write 18:00 or 2026-11-22T18:00") from error
    return found if found.tzinfo else found.replace(tzinfo=zone)


def ago(seconds: float) -> str:
    """A length in one or two units, as on the screen of the night: `40 s`, `12 min`, `3 h 5 min`, `9 d`."""
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{max(0, int(seconds))} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    days, left = divmod(hours, 24)
    return f"{days} d {left} h" if left and days < 3 else f"{days} d"
