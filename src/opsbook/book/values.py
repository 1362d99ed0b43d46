"""The scalar types of a book: durations, sizes, ratios, names, times. Each is a string in YAML and typed in memory."""

from __future__ import annotations

import re
import zoneinfo
from datetime import time, timedelta
from functools import cache
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from opsbook.book.units import Dimension, parse_quantity, show, write_duration


def _quantity(dimension: Dimension, example: str) -> Any:
    def parse(value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise ValueError(f"{value} has no unit; expected a {dimension} such as {example!r}")
        if not isinstance(value, str):
            raise ValueError(f"expected a {dimension} with its unit such as {example!r}")
        try:
            quantity = parse_quantity(value)
        except ValueError as error:
            said = str(error).partition(" such as ")[0]
            raise ValueError(said if ";" in said else f"{said}; expected a {dimension} such as {example!r}") from None
        if quantity.dimension is Dimension.COUNT:
            raise ValueError(f"{value!r} has no unit; expected a {dimension} such as {example!r}")
        if quantity.dimension is not dimension:
            raise ValueError(f"{value!r} is a {quantity.dimension}; expected a {dimension} such as {example!r}")
        if quantity.value < 0:
            raise ValueError(f"{value!r} is negative; expected zero or more")
        return quantity.value

    return parse


_seconds = _quantity(Dimension.DURATION, "5m")


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    try:
        return timedelta(seconds=_seconds(value))
    except OverflowError:
        raise ValueError(f"{value!r} is longer than opsbook can count") from None


UNIT_OF_TIME = "(ns|us|µs|ms|s|sec|seconds?|m|mins?|minutes?|h|hr|hours?|d|days?|w|weeks?|mo|months?|y|years?)"
DURATION_PATTERN = rf"^\s*(\d[\d,]*(\.\d+)?\s*{UNIT_OF_TIME}\s*)+$"

Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(lambda t: write_duration(t.total_seconds()), return_type=str),
    WithJsonSchema(
        {"type": "string", "x-type": "duration", "pattern": DURATION_PATTERN, "examples": ["30s", "5m", "1h30m", "7d"]}
    ),
]
Size = Annotated[
    float,
    BeforeValidator(_quantity(Dimension.SIZE, "512MB")),
    PlainSerializer(lambda n: show(n, Dimension.SIZE), return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "x-type": "size",
            "pattern": r"^\s*\d[\d,]*(\.\d+)?\s*([kKMGT]?B|[KMGT]iB?)\s*$",
            "examples": ["512MB", "4GiB"],
        }
    ),
]
Ratio = Annotated[
    float,
    BeforeValidator(_quantity(Dimension.RATIO, "99.9%")),
    PlainSerializer(lambda n: f"{n * 100:.6g}%", return_type=str, when_used="json"),
    WithJsonSchema(
        {"type": "string", "x-type": "share", "pattern": r"^\s*\d[\d,]*(\.\d+)?\s*%\s*$", "examples": ["99.9%"]}
    ),
]


def _slug(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", value):
        suggestion = re.sub(r"[^a-z0-9_.-]+", "-", value.lower()).strip("-_.")
        raise ValueError(
            "a name has lower-case letters, digits, '-', '_' and '.', and begins with a letter or digit"
            + (f"; write {suggestion!r}" if suggestion else "")
        )
    return value


Name = Annotated[
    str,
    AfterValidator(_slug),
    WithJsonSchema({"type": "string", "x-type": "name", "pattern": "^[a-z0-9][a-z0-9_.-]*$"}),
]


@cache
def _timezone(value: str) -> str:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        from opsbook.book.words import nearest

        near = nearest(value, zoneinfo.available_timezones(), otherwise="write one such as UTC or America/Mexico_City")
        raise ValueError(f"{value!r} is not a time zone; {near}") from error
    return value


TimeZone = Annotated[
    str,
    AfterValidator(_timezone),
    WithJsonSchema(
        {"type": "string", "x-type": "time zone", "examples": ["UTC", "America/Mexico_City", "Europe/Berlin"]}
    ),
]


@cache
def _cron(value: str) -> str:
    from croniter import croniter  # only books with schedules pay for it

    if len(value.split()) != 5 or not croniter.is_valid(value):
        raise ValueError(f'{value!r} is not a cron line of five fields; write one such as "0 3 * * *"')
    return value


Cron = Annotated[
    str,
    AfterValidator(_cron),
    WithJsonSchema(
        {"type": "string", "x-type": "cron line", "pattern": r"^\s*\S+(\s+\S+){4}\s*$", "examples": ["0 3 * * *"]}
    ),
]


@cache
def _rrule(value: str) -> str:
    from dateutil.rrule import rrulestr

    if often := re.search(r"FREQ=(HOURLY|MINUTELY|SECONDLY)", value, re.IGNORECASE):
        raise ValueError(f"planned work does not come by {often[0]}; write FREQ=DAILY or a longer one")
    try:
        next(iter(rrulestr(value)), None)  # dates of which only some name a time zone are found out here
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{value!r} is not a recurrence rule ({error}); write one such as FREQ=WEEKLY") from error
    return value


RecurrenceRule = Annotated[
    str,
    AfterValidator(_rrule),
    WithJsonSchema(
        {
            "type": "string",
            "x-type": "recurrence rule",
            "examples": ["FREQ=WEEKLY;BYDAY=SU;BYHOUR=2", "FREQ=MONTHLY;BYDAY=1SU"],
        }
    ),
]


def _time_of_day(value: Any) -> time:
    if isinstance(value, time):
        return value
    found = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", value) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"{value!r} is not a time of day; write one such as 09:00")
    return time(int(found[1]), int(found[2]))


TimeOfDay = Annotated[
    time,
    BeforeValidator(_time_of_day),
    PlainSerializer(lambda t: t.strftime("%H:%M"), return_type=str),
    WithJsonSchema(
        {"type": "string", "x-type": "time of day", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$", "examples": ["09:00"]}
    ),
]


def _environment_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError(f"{value!r} is not the name of an environment variable; write NAME, without $ and value")
    return value


VariableName = Annotated[
    str,
    AfterValidator(_environment_name),
    WithJsonSchema({"type": "string", "x-type": "variable", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}),
]


class Short:
    """An annotation: the mapping may be written as the text of one of its keys alone."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._expand, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string", "description": f"its `{self.key}` alone"}, handler(schema)]}

    def _expand(self, value: Any) -> Any:
        return {self.key: value} if isinstance(value, str) else value
