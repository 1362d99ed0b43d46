"""Smoke tests of the book as a step."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Name
from opsbook.connectors.change import Change
from opsbook.connectors.smoke_tests import tests_of
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation


class Smoke(OperationParameters):
    tests: tuple[Name, ...] = Field((), description="which of the component's smoke tests; all where left out")


@operation(
    "smoke.test",
    Risk.READ,
    of=("http", "proxy"),
    idempotent=True,
    parameters=Smoke,
    doc="Sends the smoke tests of the book to a component, one after the other; fails with the first that is not "
    "answered as the book says.",
)
class _Smoke(Repeatable):
    async def plan(self, parameters: Smoke, facts: Facts) -> AsyncIterator[Change]:
        found = tests_of(facts.system.model.smoke_tests, [parameters.of], parameters.tests)
        if not found:
            raise Refused(f"the book has no such smoke test of {parameters.of}", "write it under `smoke_tests`")
        requests = {one.id: f"{one.method} {one.path}" for one in found}
        effect = {"component": parameters.of, "tests": list(requests)}
        yield Change("smoke", effect, requests, inverse="nothing to undo: it only asks")
