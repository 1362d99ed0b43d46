"""Periods and times of day in running text, in seconds and minutes."""

from __future__ import annotations

import re

_UNITS = {
    "second": 1,
    "sec": 1,
    "s": 1,
    "minute": 60,
    "min": 60,
    "m": 60,
    "hour": 3600,
    "hr": 3600,
    "h": 3600,
    "day": 86400,
    "d": 86400,
    "week": 604800,
    "w": 604800,
    "month": 2592000,
    "mo": 2592000,
    "year": 31536000,
    "yr": 31536000,
    "y": 31536000,
}
_PERIOD = re.compile(
    r"(?<![\w.:/-])(\d+(?:\.\d+)?)\s*-?(second|sec|minute|min|hour|hr|day|week|month|year|yr)s?\b|(?<![\w.:/-])(\d+)([smhdwy])\b",
    re.I,
)


def periods(text: str) -> list[float]:
    """Every period of a text in seconds: 30 days, 1 year, 5m."""
    return [float(m[1] or m[3]) * _UNITS[(m[2] or m[4]).lower()] for m in _PERIOD.finditer(text)]
