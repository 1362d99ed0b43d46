"""What a service answers with: its body, its headers, its redirects."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from opsbook.book.units import Dimension
from opsbook.connectors.contract import Fact, ReadFailed
from opsbook.connectors.http import HttpConnector
from opsbook.connectors.json_path import JsonPath
from opsbook.observations.http_service import HTTP, PathParameters, page
from opsbook.observations.registry import observation

REDIRECTS = (301, 302, 303, 307, 308)


class BodyParameters(PathParameters):
    """What must be true of a body; everything that is said must hold."""

    contains: str = Field("", description="text that stands in it")
    lacks: str = Field("", description="text that does not stand in it")
    matches: str = Field("", description="regular expression that is found in it")
    at: str = Field("", description="path of a JSON value such as data.items[0].status; with `equals`")
    equals: Any = Field(None, description="what that JSON value is")
    status: int = Field(0, ge=0, le=599, description="the status it comes with; any 2xx where left out")

    @field_validator("matches")
    @classmethod
    def _pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _something(self) -> BodyParameters:
        if not (self.contains or self.lacks or self.matches or self.at):
            raise ValueError("say what the body must hold: `contains`, `lacks`, `matches`, or `at` and `equals`")
        return self


@observation(
    "http.body",
    Dimension.STATE,
    of=HTTP,
    parameters=BodyParameters,
    critical="is down",
    doc="Whether the body of an answer holds what it must: a text, a regular expression, a JSON value.",
)
async def body(http: HttpConnector, wanted: BodyParameters) -> Fact:
    answer = await page(http, wanted.path)
    if reason := _wrong_status(answer.status, wanted.status):
        return Fact(False, {"url": answer.url}, reason)
    wrong = _wrong_text(answer.text, wanted)
    if not wrong and wanted.at:
        value = JsonPath.parse(wanted.at).of(answer.json())
        wrong = "" if value == wanted.equals else f"{wanted.at} is {value!r}, not {wanted.equals!r}"
    return Fact(not wrong, {"url": answer.url, "bytes": len(answer.body)}, wrong or "the body holds what it must")


def _wrong_status(status: int, wanted: int) -> str:
    if wanted:
        return "" if status == wanted else f"answers {status}, not {wanted}"
    return "" if 200 <= status < 300 else f"answers {status}"


def _wrong_text(text: str, wanted: BodyParameters) -> str:
    if wanted.contains and wanted.contains not in text:
        return f"{wanted.contains!r} is not in the body"
    if wanted.lacks and wanted.lacks in text:
        return f"{wanted.lacks!r} is in the body"
    if wanted.matches and not re.search(wanted.matches, text):
        return f"the body does not match {wanted.matches!r}"
    return ""


class HeaderParameters(PathParameters):
    """Which header."""

    name: str = Field(description="name of the response header, e.g. Strict-Transport-Security")
    contains: str = Field("", description="text that its value holds, upper and lower case alike")


@observation(
    "http.header",
    Dimension.STATE,
    of=HTTP,
    parameters=HeaderParameters,
    warning="is down",
    doc="Whether an answer has a header, with the value that it must hold.",
)
async def header(http: HttpConnector, wanted: HeaderParameters) -> Fact:
    answer = await page(http, wanted.path)
    value = answer.headers.get(wanted.name)
    if value is None:
        return Fact(False, {"url": answer.url}, f"the answer has no header {wanted.name}")
    shown = "***" if wanted.name.lower() in ("set-cookie", "authorization") else value[:200]
    return Fact(wanted.contains.lower() in value.lower(), {"url": answer.url}, f"{wanted.name}: {shown}")


class RedirectParameters(PathParameters):
    """Where the plain address is."""

    port: int = Field(80, ge=1, le=65535, description="port on which plain HTTP is answered")


@observation(
    "http.redirects_to_https",
    Dimension.STATE,
    of=HTTP,
    parameters=RedirectParameters,
    warning="is down",
    doc="Whether plain HTTP is answered with a redirect to https://.",
)
async def redirects_to_https(http: HttpConnector, wanted: RedirectParameters) -> Fact:
    host = urlsplit(http.client.url).hostname
    if not host:
        raise ReadFailed(f"the url of {http.name} names no host")
    shown = f"[{host}]" if ":" in host else host
    answer = await http.get(f"http://{shown}:{wanted.port}/{wanted.path.lstrip('/')}")
    to = answer.headers.get("location", "")
    good = answer.status in REDIRECTS and to.startswith("https://")
    return Fact(good, {"url": answer.url, "location": to}, f"answers {answer.words}" + (f" → {to}" if to else ""))
