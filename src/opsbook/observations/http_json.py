"""Figures that a service tells in a JSON page of its own: one observation for each dimension."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field, field_validator

from opsbook.book.units import DURATION_UNITS, Dimension
from opsbook.connectors.contract import Fact, ReadFailed
from opsbook.connectors.http import HttpConnector
from opsbook.connectors.json_path import JsonPath
from opsbook.observations.http_service import HTTP, PathParameters, page
from opsbook.observations.registry import Absent, observation


class JsonParameters(PathParameters):
    """Which value of which page."""

    at: str = Field(description="path of the value in the JSON answer, such as data.items[0].age")

    @field_validator("at")
    @classmethod
    def _path(cls, value: str) -> str:
        JsonPath.parse(value)
        return value


class JsonDurationParameters(JsonParameters):
    """A duration and its unit."""

    unit: Literal["ms", "s", "m", "h", "d"] = Field("s", description="unit in which the page tells it")


class JsonRatioParameters(JsonParameters):
    """A ratio and its scale."""

    percent: bool = Field(False, description="the page tells it as 0 to 100 and not as 0 to 1")


async def value(http: HttpConnector, wanted: JsonParameters) -> Any:
    """The value. Raises Absent where it is null."""
    answer = await page(http, wanted.path)
    if answer.status >= 400:
        raise ReadFailed(f"{answer.url} answers {answer.words}")
    found = JsonPath.parse(wanted.at).of(answer.json())
    if found is None:
        raise Absent(f"{wanted.at} of {answer.url} is null")
    return found


async def number(http: HttpConnector, wanted: JsonParameters) -> float:
    """The value as a number. Raises ReadFailed where it is none."""
    found = await value(http, wanted)
    if isinstance(found, bool) or not isinstance(found, (int, float, str)):
        raise ReadFailed(f"{wanted.at} is {found!r} and not a number")
    try:
        return float(found)
    except ValueError as error:
        raise ReadFailed(f"{wanted.at} is {found!r} and not a number") from error


@observation("http.json_count", Dimension.COUNT, of=HTTP, parameters=JsonParameters,
             doc="A number in a JSON answer; the length of a list.")  # fmt: skip
async def json_count(http: HttpConnector, wanted: JsonParameters) -> float:
    found = await value(http, wanted)
    return float(len(found)) if isinstance(found, list) else await number(http, wanted)


@observation("http.json_duration", Dimension.DURATION, of=HTTP, parameters=JsonDurationParameters,
             doc="A duration in a JSON answer.")  # fmt: skip
async def json_duration(http: HttpConnector, wanted: JsonDurationParameters) -> float:
    return await number(http, wanted) * DURATION_UNITS[wanted.unit]


@observation("http.json_ratio", Dimension.RATIO, of=HTTP, parameters=JsonRatioParameters,
             doc="A ratio in a JSON answer.")  # fmt: skip
async def json_ratio(http: HttpConnector, wanted: JsonRatioParameters) -> float:
    return await number(http, wanted) / (100 if wanted.percent else 1)


@observation("http.json_size", Dimension.SIZE, of=HTTP, parameters=JsonParameters,
             doc="A number of bytes in a JSON answer.")  # fmt: skip
async def json_size(http: HttpConnector, wanted: JsonParameters) -> float:
    return await number(http, wanted)


@observation("http.json_text", Dimension.TEXT, of=HTTP, parameters=JsonParameters,
             doc="A word in a JSON answer, such as a version or a status.")  # fmt: skip
async def json_text(http: HttpConnector, wanted: JsonParameters) -> str:
    found = await value(http, wanted)
    if isinstance(found, (dict, list)):
        raise ReadFailed(f"{wanted.at} is not a single value")
    return str(found).lower() if isinstance(found, bool) else str(found)


@observation("http.json_age", Dimension.DURATION, of=HTTP, parameters=JsonParameters,
             doc="The time since a moment in a JSON answer, written as ISO 8601 (UTC where it has no zone) or in"
                 " seconds since 1970.")  # fmt: skip
async def json_age(http: HttpConnector, wanted: JsonParameters) -> Fact:
    found = await value(http, wanted)
    try:
        then = (
            datetime.fromtimestamp(float(found), UTC)
            if isinstance(found, (int, float)) and not isinstance(found, bool)
            else datetime.fromisoformat(str(found))
        )
    except (ValueError, OverflowError, OSError) as error:
        raise ReadFailed(f"{wanted.at} is {found!r} and not a moment") from error
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return Fact((datetime.now(UTC) - then).total_seconds(), message=f"since {then.isoformat(timespec='seconds')}")
