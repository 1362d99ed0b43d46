"""The scalar types of a book: durations, sizes, ratios, names. Each is a string in YAML and typed in memory."""

from __future__ import annotations

import re
import zoneinfo
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from opsbook.book.units import Dimension, parse_quantity, show


def _quantity(dimension: Dimension, example: str) -> Any:
    def parse(value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError(f"expected a {dimension} with its unit such as {example!r}")
        quantity = parse_quantity(value)
        if quantity.dimension is not dimension:
            raise ValueError(f"{value!r} is a {quantity.dimension}; expected a {dimension} such as {example!r}")
        if quantity.value < 0:
            raise ValueError(f"{value!r} is negative")
        return quantity.value

    return parse


def _duration(value: Any) -> Any:
    return value if isinstance(value, timedelta) else timedelta(seconds=_quantity(Dimension.DURATION, "5m")(value))


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(lambda t: show(t.total_seconds(), Dimension.DURATION), return_type=str),
    WithJsonSchema(
        {"type": "string", "pattern": r"^\s*(\d+(\.\d+)?\s*[a-zµ]+\s*)+$", "examples": ["30s", "5m", "2h", "7d"]}
    ),
]
Size = Annotated[
    float,
    BeforeValidator(_quantity(Dimension.SIZE, "512MB")),
    WithJsonSchema({"type": "string", "examples": ["512MB", "4GiB"]}),
]
Ratio = Annotated[
    float,
    BeforeValidator(_quantity(Dimension.RATIO, "99.9%")),
    WithJsonSchema({"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*%$", "examples": ["99.9%"]}),
]


def _slug(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", value):
        raise ValueError("a name has lower-case letters, digits, '-', '_' and '.', and begins with a letter or digit")
    return value


Name = Annotated[str, AfterValidator(_slug), WithJsonSchema({"type": "string", "pattern": "^[a-z0-9][a-z0-9_.-]*$"})]


def _timezone(value: str) -> str:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"{value!r} is not a time zone; write one such as UTC or America/Mexico_City") from error
    return value


TimeZone = Annotated[str, AfterValidator(_timezone)]


def _cron(value: str) -> str:
    from croniter import croniter  # only books with schedules pay for it

    if len(value.split()) != 5 or not croniter.is_valid(value):
        raise ValueError(f'{value!r} is not a cron line of five fields such as "0 3 * * *"')
    return value


Cron = Annotated[str, AfterValidator(_cron)]


def _rrule(value: str) -> str:
    from dateutil.rrule import rrulestr

    try:
        rrulestr(value)
    except (ValueError, KeyError, AttributeError) as error:
        raise ValueError(
            f'{value!r} is not a recurrence rule such as "FREQ=WEEKLY;BYDAY=SU;BYHOUR=2": {error}'
        ) from error
    return value


RecurrenceRule = Annotated[str, AfterValidator(_rrule)]
