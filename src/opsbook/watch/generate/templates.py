"""Values in the texts of alerts: the template that Prometheus fills in, and what it makes of a value.

The second is for rule tests, which compare whole texts. It follows `humanize…` of Prometheus' template functions
(template/template.go), in units of the book: seconds, bytes, fractions.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from opsbook.book.units import Dimension

TEMPLATES = {
    Dimension.DURATION: "{{ $value | humanizeDuration }}",
    Dimension.SIZE: "{{ $value | humanize1024 }}B",
    Dimension.THROUGHPUT: "{{ $value | humanize1024 }}B/s",
    Dimension.RATIO: "{{ $value | humanizePercentage }}",
    Dimension.RATE: "{{ $value | humanize }}/s",
    Dimension.COUNT: "{{ $value | humanize }}",
}


def literal(text: str) -> str:
    """Text in which nothing is a template."""
    return text.replace("{{", '{{ "{{" }}')


def filled_in(dimension: Dimension, value: float) -> str:
    """What Prometheus makes of the template of a dimension."""
    make, suffix = _MADE[dimension]
    return make(value) + suffix


def humanize(value: float) -> str:
    """`1.234k`, `12m`."""
    if value == 0 or not math.isfinite(value):
        return _four(value)
    prefix = ""
    if abs(value) >= 1:
        for one in "kMGTPEZY":
            if abs(value) < 1000:
                break
            prefix, value = one, value / 1000
    else:
        for one in "munpfazy":
            if abs(value) >= 1:
                break
            prefix, value = one, value * 1000
    return _four(value) + prefix


def humanize1024(value: float) -> str:
    """`1.5Gi`."""
    prefix = ""
    if abs(value) <= 1 or not math.isfinite(value):
        return _four(value)
    for one in ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"):
        if abs(value) < 1024:
            break
        prefix, value = one, value / 1024
    return _four(value) + prefix


def humanize_duration(value: float) -> str:
    """`1h 2m 3s`, `250ms`."""
    if value == 0 or not math.isfinite(value):
        return _four(value) + "s"
    if abs(value) < 1:
        prefix = ""
        for one in "munpfazy":
            if abs(value) >= 1:
                break
            prefix, value = one, value * 1000
        return f"{_four(value)}{prefix}s"
    sign, whole = ("-" if value < 0 else ""), abs(int(value))
    days, hours, minutes, seconds = whole // 86400, whole // 3600 % 24, whole // 60 % 60, whole % 60
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    return f"{sign}{minutes}m {seconds}s" if minutes else f"{sign}{_four(abs(value))}s"


def humanize_percentage(value: float) -> str:
    """`12.5%`."""
    return _four(value * 100) + "%"


def _four(value: float) -> str:
    """Go's `%.4g`."""
    return f"{value:.4g}"


_MADE: dict[Dimension, tuple[Callable[[float], str], str]] = {
    Dimension.DURATION: (humanize_duration, ""),
    Dimension.SIZE: (humanize1024, "B"),
    Dimension.THROUGHPUT: (humanize1024, "B/s"),
    Dimension.RATIO: (humanize_percentage, ""),
    Dimension.RATE: (humanize, "/s"),
    Dimension.COUNT: (humanize, ""),
}
