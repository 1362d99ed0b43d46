"""A bounded load test, with checks that must hold while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Duration, Name, Ratio
from opsbook.book.words import nearest
from opsbook.connectors.change import Change
from opsbook.connectors.load_tests import program
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation

MOST_FORWARDED = 50
"""Requests a second through a port-forward: it goes through the API server, which must not be what is tested."""


class LoadTest(OperationParameters):
    path: str = Field("", pattern=r"^(/[\x21-\x7e]*)?$", description="page that is asked for; `health` where left out")
    rate: float = Field(20, gt=0, le=5000, description="requests a second, all connections together")
    duration: Duration = Field(timedelta(seconds=30), gt=timedelta(0), le=timedelta(minutes=30),
                               description="how long")  # fmt: skip
    connections: int = Field(10, ge=1, le=500, description="connections at the same time")
    checks: tuple[Name, ...] = Field(min_length=1, description="checks that end it as soon as one is critical")
    every: Duration = Field(timedelta(seconds=2), ge=timedelta(seconds=0.5), le=timedelta(minutes=1),
                            description="how often the checks are looked at")  # fmt: skip
    errors: Ratio | None = Field(None, description="largest share of failed requests; only counted where left out")


@operation(
    "load.test", Risk.DISRUPTIVE, of=("http", "proxy"), idempotent=True, parameters=LoadTest,
    doc="Sends GET requests by hey at a rate, for a time, over so many connections; ends at once where a named check is"
    " critical. Only in an environment that is disposable, or whose policy says `load_tests: true`.",
)  # fmt: skip
class _LoadTest(Repeatable):
    async def plan(self, parameters: LoadTest, facts: Facts) -> AsyncIterator[Change]:
        system = facts.system
        if not (system.environment.disposable or system.policy.load_tests):
            raise Refused(
                f"{system.name} is not disposable, and its policy does not allow load tests",
                "test in another environment, or set `load_tests: true` in its policy",
            )
        program()
        known = {one.id for one in system.checks}
        if unknown := [name for name in parameters.checks if name not in known]:
            raise Refused(f"the book has no check named {unknown[0]}", nearest(unknown[0], known))
        component = system.components[parameters.of]
        if component.through and parameters.rate > MOST_FORWARDED:
            raise Refused(
                f"{parameters.of} is reached by a port-forward, through which no more than {MOST_FORWARDED} requests a"
                " second are sent: it would test the API server",
                "give it an address of its own in this environment",
            )
        seconds = max(1, round(parameters.duration.total_seconds()))
        effect = {
            "component": parameters.of, "path": parameters.path or getattr(component, "health", "") or "/",
            "rate": parameters.rate, "seconds": seconds, "connections": parameters.connections,
            "checks": list(parameters.checks), "every": parameters.every.total_seconds(), "errors": parameters.errors,
        }  # fmt: skip
        evidence = {"requests": round(parameters.rate * seconds), "forwarded": bool(component.through)}
        yield Change("load", effect, evidence, inverse="requests that were answered cannot be taken back")
