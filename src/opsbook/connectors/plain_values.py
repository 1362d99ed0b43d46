"""Values of a database as plain data: what JSON can hold, exact where it can be."""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from opsbook.book.units import write_duration
from opsbook.connectors.change import Json

LONGEST_TEXT = 64 * 1024
"""Characters of one value; the rest is left out, and said so."""


def plain(value: Any) -> Json:
    """Times as ISO 8601, durations as `1h30m`, numbers as text where a float would round, bytes as hexadecimal."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else f"{value[:LONGEST_TEXT]}… ({len(value):,} characters)"
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, timedelta):
        return write_duration(value.total_seconds())
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return plain(bytes(value).hex())
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(one) for one in value]
    return plain(str(value))


def size_of(value: Json) -> int:
    """Roughly the characters that the value takes as JSON."""
    if isinstance(value, dict):
        return 2 + sum(len(name) + 6 + size_of(one) for name, one in value.items())
    if isinstance(value, list):
        return 2 + sum(2 + size_of(one) for one in value)
    return len(value) + 2 if isinstance(value, str) else 8


def _number(value: Decimal) -> Json:
    if not value.is_finite():
        return str(value)
    if value == value.to_integral_value() and abs(value) < 10**30:
        return int(value)
    return float(value) if Decimal(repr(float(value))) == value else str(value)
