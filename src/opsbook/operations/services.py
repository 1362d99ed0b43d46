"""How a service answers, measured and held against before: what a deploy is watched by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Duration, Name
from opsbook.connectors.change import Change
from opsbook.connectors.http import HttpConnector
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.holding import EVERY, HELD_EVERY, LOOKS, known
from opsbook.operations.registry import operation

MORE_ERRORS = 0.01
"""What a version may add to the share of errors from before, where the book does not say."""
SLOWER, MORE_SECONDS = 2.0, 0.05
"""How much slower its 95th percentile may be than before, where the book does not say: noise is not a fault."""


class Measure(OperationParameters):
    path: str = Field("", description="what is asked; its health page where left out")
    seconds: Duration = Field(timedelta(seconds=10), alias="for", description="how long")
    rate: float = Field(5, gt=0, le=100, description="requests a second")
    checks: tuple[Name, ...] = Field((), description="checks that are looked at; `bad` of the result names bad ones")


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
        checks = {"checks": list(known(parameters.checks, facts))} if parameters.checks else {}
        effect = {**_asked(parameters, facts), "errors": None, "latency": None, **checks}
        yield Change("measure", effect, inverse=LOOKS)


class Compare(Measure):
    before_errors: float = Field(0, ge=0, le=1, description="share of errors before")
    before_p95: float = Field(0, ge=0, description="95th percentile before, in seconds; 0: not known")
    errors: float | None = Field(None, ge=0, le=1, description="largest share of errors; from before where left out")
    latency: Duration | None = Field(None, description="longest 95th percentile; from before where left out")
    status: int | None = Field(None, ge=100, le=599, description="status that every answer must have")
    contains: str = Field("", description="text that every answer must hold")
    before_status: int = Field(
        0,
        ge=0,
        le=599,
        description="status of most answers before: another one fails, but for 2xx; 0: below 500 is good",
    )
    checks: tuple[Name, ...] = Field((), description="checks that must stay well meanwhile")
    bad_before: tuple[Name, ...] = Field((), description="checks that were bad before, which are not held")
    every: Duration = Field(EVERY, ge=timedelta(seconds=1), le=timedelta(minutes=5), description=HELD_EVERY)


@operation(
    "service.compare",
    Risk.READ,
    of=("http", "proxy"),
    idempotent=True,
    parameters=Compare,
    doc="Measures a service again and holds it against before and against the book: fails as soon as it is worse, with "
    "more errors (by 1 %, where the book does not say) or slower (twice the percentile and 50 ms), or once a check is "
    "bad twice in a row.",
)
class _Compare(Repeatable):
    async def plan(self, parameters: Compare, facts: Facts) -> AsyncIterator[Change]:
        effect = {**_asked(parameters, facts), **allowed(parameters), **_expected(parameters)}
        if checks := known(parameters.checks, facts, but=parameters.bad_before):
            effect |= {"checks": list(checks), "every": parameters.every.total_seconds()}
        yield Change("measure", effect, inverse=LOOKS)


def _expected(parameters: Compare) -> dict[str, object]:
    """What an answer must be, as far as it is said."""
    said = {"status": parameters.status, "contains": parameters.contains, "before": parameters.before_status}
    return {name: value for name, value in said.items() if value}


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
