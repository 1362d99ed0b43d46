"""Values with units: what a book writes and what an observation yields, in one canonical form.

Canonical units: durations in seconds, sizes in bytes, ratios as fractions (80 % is 0.8), rates per second, throughputs
in bytes per second; counts are plain numbers. Decimal prefixes are powers of 1000 (MB), binary ones of 1024 (MiB, Mi).
"""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass
from enum import StrEnum


class Dimension(StrEnum):
    """What kind of quantity a value is. Only values of one dimension can be compared."""

    DURATION = "duration"
    SIZE = "size"
    RATIO = "ratio"
    COUNT = "count"
    RATE = "rate"
    THROUGHPUT = "throughput"
    STATE = "state"
    TEXT = "text"


CANONICAL_UNIT = {
    Dimension.DURATION: "s",
    Dimension.SIZE: "B",
    Dimension.RATIO: "ratio",
    Dimension.COUNT: "",
    Dimension.RATE: "/s",
    Dimension.THROUGHPUT: "B/s",
    Dimension.STATE: "up/down",
    Dimension.TEXT: "text",
}

EXAMPLE = {
    Dimension.DURATION: "200ms, 5m, 2h, 7d",
    Dimension.SIZE: "512MB, 4GiB",
    Dimension.RATIO: "80%",
    Dimension.COUNT: "80",
    Dimension.RATE: "5/s, 30/h",
    Dimension.THROUGHPUT: "10MB/s",
    Dimension.STATE: "up or down",
    Dimension.TEXT: "a word",
}

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0

DURATION_UNITS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3,
    "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0,
    "m": MINUTE, "min": MINUTE, "mins": MINUTE, "minute": MINUTE, "minutes": MINUTE,
    "h": HOUR, "hr": HOUR, "hour": HOUR, "hours": HOUR,
    "d": DAY, "day": DAY, "days": DAY,
    "w": 7 * DAY, "week": 7 * DAY, "weeks": 7 * DAY,
    "mo": 30 * DAY, "month": 30 * DAY, "months": 30 * DAY,
    "y": 365 * DAY, "year": 365 * DAY, "years": 365 * DAY,
}  # fmt: skip
SIZE_UNITS = {
    "B": 1.0, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
    "KiB": 1024.0, "MiB": 1024.0**2, "GiB": 1024.0**3, "TiB": 1024.0**4,
    "Ki": 1024.0, "Mi": 1024.0**2, "Gi": 1024.0**3, "Ti": 1024.0**4,
}  # fmt: skip
STATES = {"up": True, "true": True, "yes": True, "down": False, "false": False, "no": False}

_PART = re.compile(r"\s*((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)\s*([A-Za-zµ%]*)", re.ASCII)
_LONGEST = 200


@dataclass(frozen=True)
class Quantity:
    """A value in the canonical unit of its dimension."""

    value: float
    dimension: Dimension

    def __str__(self) -> str:
        return show(self.value, self.dimension)


def parse_quantity(text: str) -> Quantity:
    """Read `200ms`, `1h30m`, `80%`, `4GiB`, `5/s`, `10MB/s` or `80`. Raises ValueError with what was expected."""
    written = text.strip()
    if len(written) > _LONGEST:
        raise ValueError(f"a value of {len(written)} characters is no quantity")
    if written.lower() in STATES:
        return Quantity(float(STATES[written.lower()]), Dimension.STATE)
    head, slash, per = written.partition("/")
    if slash:
        return _per_time(written, head, per.strip())
    if negative := written.startswith("-"):
        written = written[1:]
    total, dimension = 0.0, None
    position = 0
    while position < len(written):
        match = _PART.match(written, position)
        if not match:
            raise ValueError(f"{text!r} is not a value with a unit such as 200ms, 80%, 4GiB or 5/s")
        amount, one = _unit(float(match[1].replace(",", "")), match[2], text)
        if dimension not in (None, one) or (dimension is not None and one is not Dimension.DURATION):
            raise ValueError(f"{text!r} mixes units; only durations have parts, as in 1h30m")
        total, dimension = total + amount, one
        position = match.end()
    if dimension is None:
        raise ValueError("a value is missing")
    return Quantity(-total if negative else total, dimension)


def _unit(number: float, unit: str, text: str) -> tuple[float, Dimension]:
    if not unit:
        return number, Dimension.COUNT
    if unit == "%":
        return number / 100, Dimension.RATIO
    if unit in SIZE_UNITS:
        return number * SIZE_UNITS[unit], Dimension.SIZE
    if unit in DURATION_UNITS:
        return number * DURATION_UNITS[unit], Dimension.DURATION
    raise ValueError(f"{unit!r} in {text!r} is not a unit; {_nearest_unit(unit)}")


KNOWN_UNITS = "known are ms s m h d w y, B kB MB GB TB KiB MiB GiB TiB, % and /s"


def _nearest_unit(unit: str) -> str:
    """What was probably meant: the same letters in another case, a size without its B, or a word that is near."""
    known = [*DURATION_UNITS, *SIZE_UNITS]
    same = [one for one in known if one.lower() in (unit.lower(), unit.lower() + "b")]
    same.sort(key=lambda one: not one.startswith(unit))  # 512M means MB, not minutes
    close = same or difflib.get_close_matches(unit.lower(), known, n=1, cutoff=0.7)
    return f"did you mean {close[0]!r}?" if close else KNOWN_UNITS


def _per_time(text: str, head: str, per: str) -> Quantity:
    seconds = DURATION_UNITS.get(per)
    if seconds is None:
        raise ValueError(f"{text!r}: {per!r} is not a time; write /s, /min, /h or /d")
    amount = parse_quantity(head)
    if amount.dimension is Dimension.COUNT:
        return Quantity(amount.value / seconds, Dimension.RATE)
    if amount.dimension is Dimension.SIZE:
        return Quantity(amount.value / seconds, Dimension.THROUGHPUT)
    raise ValueError(f"{text!r}: only counts and sizes can be taken per time")


def show(value: float | bool | str | None, dimension: Dimension) -> str:
    """The value as a person reads it: three significant figures and the unit that fits its size."""
    if value is None:
        return "–"
    if dimension is Dimension.STATE:
        return "up" if value else "down"
    if dimension is Dimension.TEXT or isinstance(value, str):
        return str(value)
    number = float(value)
    if not math.isfinite(number):
        return "–" if math.isnan(number) else ("∞" if number > 0 else "-∞")
    if dimension is Dimension.DURATION:
        return show_duration(number)
    if dimension is Dimension.SIZE:
        return _show_size(number)
    if dimension is Dimension.THROUGHPUT:
        return _show_size(number) + "/s"
    if dimension is Dimension.RATIO:
        return f"{_digits(number * 100)} %"
    if dimension is Dimension.RATE:
        return _show_rate(number)
    return f"{number:,.0f}" if number == int(number) else _digits(number)


def _show_rate(number: float) -> str:
    if number == 0 or abs(number) >= 0.1 or abs(number) * HOUR < 0.001:
        return f"{_digits(number)}/s"
    if abs(number) * MINUTE >= 0.1:
        return f"{_digits(number * MINUTE)}/min"
    return f"{_digits(number * HOUR)}/h"


def show_duration(seconds: float) -> str:
    """A duration in at most two units: `430 ms`, `12.5 s`, `4 min 10 s`, `3 d 2 h`."""
    if seconds < 0:
        return "-" + show_duration(-seconds)
    if seconds == 0:
        return "0 s"
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (60.0, 1.0, "s")):
        if seconds < limit:
            return f"{_digits(seconds * factor)} {unit}"
    for big, small, names in ((HOUR, MINUTE, ("min", "s")), (DAY, HOUR, ("h", "min")), (float("inf"), DAY, ("d", "h"))):
        if seconds < big:
            step = {MINUTE: 1.0, HOUR: MINUTE, DAY: HOUR}[small]
            whole, rest = divmod(seconds, small)
            rest = int(rest // step)
            return f"{whole:.0f} {names[0]}" + (f" {rest} {names[1]}" if rest and whole < 100 else "")
    raise AssertionError("unreachable: the last limit is infinite")


def _show_size(number: float) -> str:
    for limit, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(number) >= limit:
            return f"{_digits(number / limit)} {unit}"
    return f"{number:.0f} B"


def _digits(number: float) -> str:
    """Three significant figures without an exponent."""
    if number == 0:
        return "0"
    if abs(number) >= 99.95:
        return f"{number:,.0f}"
    places = max(0, 2 - math.floor(math.log10(abs(number))))
    return f"{number:.{min(places, 15)}f}".rstrip("0").rstrip(".")


def write_duration(seconds: float) -> str:
    """The duration exactly, in the compact form of a book: `90s` is `1m30s`. Reading it back yields the same."""
    if seconds < 0:
        return "-" + write_duration(-seconds)
    microseconds = round(seconds * 1e6)
    text = ""
    for unit, size in (
        ("d", 86_400_000_000),
        ("h", 3_600_000_000),
        ("m", 60_000_000),
        ("s", 1_000_000),
        ("ms", 1000),
        ("us", 1),
    ):
        count, microseconds = divmod(microseconds, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"
