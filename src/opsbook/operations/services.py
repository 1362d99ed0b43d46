"""How a service answers, measured and held against before: what a deploy is watched by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Duration
from opsbook.connectors.change import Change
from opsbook.connectors.http import HttpConnector
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation

LOOKS = "nothing to undo: it only looks"
MORE_ERRORS = 0.01
"""What a version may add to the share of errors from before, where the book does not say."""
SLOWER, MORE_SECONDS = 2.0, 0.05
"""How much slower its 95th percentile may be than before, where the book does not say: noise is not a fault."""


class Measure(OperationParameters):
    path: str = Field("", description="what is asked; its health page where left out")
    seconds: Duration = Field(timedelta(seconds=10), alias="for", description="how long")
    rate: float = Field(5, gt=0, le=100, description="requests a second")


@operation(
    "service.measure",
    Risk.READ,
    of=("http", "proxy"),
    idempotent=True,
    parameters=Measure,
    doc="Asks a service at a steady rate and measures its share of errors and its 95th percentile.",
)
class _Measure(Repeatable):
    async def plan(self, parameters: Measure, facts: Facts) -> AsyncIterator[Change]:
        yield Change("measure", {**_asked(parameters, facts), "errors": None, "latency": None}, inverse=LOOKS)


class Compare(Measure):
    before_errors: float = Field(0, ge=0, le=1, description="share of errors before")
    before_p95: float = Field(0, ge=0, description="95th percentile before, in seconds; 0: not known")
    errors: float | None = Field(None, ge=0, le=1, description="largest share of errors; from before where left out")
    latency: Duration | None = Field(None, description="longest 95th percentile; from before where left out")


@operation(
    "service.compare",
    Risk.READ,
    of=("http", "proxy"),
    idempotent=True,
    parameters=Compare,
    doc="Measures a service again and holds it against before and against the book: fails as soon as it is worse, with "
    "more errors (by 1 %, where the book does not say) or slower (twice the percentile and 50 ms).",
)
class _Compare(Repeatable):
    async def plan(self, parameters: Compare, facts: Facts) -> AsyncIterator[Change]:
        yield Change("measure", {**_asked(parameters, facts), **allowed(parameters)}, inverse=LOOKS)


def allowed(parameters: Compare) -> dict[str, float | None]:
    """The limits: what the book says, else what was before with room for noise. Pure."""
    errors = parameters.errors if parameters.errors is not None else parameters.before_errors + MORE_ERRORS
    latency = parameters.latency.total_seconds() if parameters.latency is not None else None
    if latency is None and parameters.before_p95:
        latency = parameters.before_p95 * SLOWER + MORE_SECONDS
    return {"errors": min(1.0, errors), "latency": latency}


def _asked(parameters: Measure, facts: Facts) -> dict[str, object]:
    connector = facts.connector(parameters.of)
    if not isinstance(connector, HttpConnector):
        raise Refused(f"{parameters.of} does not speak HTTP", "name a component of the kind http or proxy")
    path = parameters.path or connector.component.health
    return {"component": parameters.of, "path": path, "seconds": parameters.seconds.total_seconds(),
            "rate": parameters.rate}  # fmt: skip
