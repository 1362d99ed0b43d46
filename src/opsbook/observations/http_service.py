"""A service that speaks HTTP: does it answer, and with what."""

from __future__ import annotations

from http import HTTPStatus

from pydantic import Field

from opsbook.book.catalogue import Parameters
from opsbook.book.units import Dimension
from opsbook.connectors.contract import Fact
from opsbook.connectors.http import HttpConnector
from opsbook.connectors.http_client import Answer
from opsbook.observations.registry import observation

HTTP = ("http", "proxy")


class PathParameters(Parameters):
    """Which page."""

    path: str = Field("", description="path that is asked for; the component's `health` where left out")


async def page(http: HttpConnector, path: str) -> Answer:
    """The page that a check names, or the health page."""
    return await (http.get(path) if path else http.health())


def phases(answer: Answer) -> dict[str, float]:
    """Where the time of an exchange went, in seconds."""
    times = answer.phases
    return {"dns": times.dns, "connect": times.connect, "tls": times.tls, "first_byte": times.first_byte,
            "total": answer.seconds}  # fmt: skip


@observation(
    "http.up",
    Dimension.STATE,
    of=HTTP,
    vital=True,
    critical="is down",
    doc="Whether the health path answers with a 2xx status. A redirect is not an answer.",
)
async def up(http: HttpConnector) -> Fact:
    answer = await http.health()
    return Fact(200 <= answer.status < 300, {"url": answer.url, "phases": phases(answer)}, f"answers {answer.words}")


@observation(
    "http.status",
    Dimension.COUNT,
    of=HTTP,
    parameters=PathParameters,
    warning=">= 400",
    critical=">= 500",
    doc="The HTTP status code that a path answers with.",
)
async def status(http: HttpConnector, wanted: PathParameters) -> Fact:
    answer = await page(http, wanted.path)
    known = answer.status in {code.value for code in HTTPStatus}
    words = HTTPStatus(answer.status).phrase if known and not answer.reason else answer.reason
    return Fact(float(answer.status), {"url": answer.url}, f"{answer.status} {words}".strip())
