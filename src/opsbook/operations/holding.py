"""Checks that are held while something goes on: what a deploy of a component that answers no requests is watched by."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Duration, Name
from opsbook.book.words import nearest
from opsbook.connectors.change import Change
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation

LOOKS = "nothing to undo: it only looks"
EVERY = timedelta(seconds=5)
"""How often checks are held: a check may ask a database, and the watch of `opsbook serve` asks beside it."""
HELD_EVERY = "how long between two looks at the checks"


class Look(OperationParameters):
    checks: tuple[Name, ...] = Field(min_length=1, description="checks that are looked at")


@operation(
    "checks.look",
    Risk.READ,
    of="any",
    idempotent=True,
    parameters=Look,
    doc="Looks at checks once and notes which of them are critical or unknown (`bad`); fails for none of them.",
)
class _Look(Repeatable):
    async def plan(self, parameters: Look, facts: Facts) -> AsyncIterator[Change]:
        checks = list(known(parameters.checks, facts))
        yield Change("hold", {"component": parameters.of, "checks": checks, "seconds": 0, "every": 0}, inverse=LOOKS)


class Hold(Look):
    seconds: Duration = Field(alias="for", gt=timedelta(0), description="how long")
    bad_before: tuple[Name, ...] = Field((), description="checks that were bad before, which are not held")
    every: Duration = Field(EVERY, ge=timedelta(seconds=1), le=timedelta(minutes=5), description=HELD_EVERY)


@operation(
    "checks.hold",
    Risk.READ,
    of="any",
    idempotent=True,
    parameters=Hold,
    doc="Looks at checks for some time: fails as soon as one is critical or unknown twice in a row.",
)
class _Hold(Repeatable):
    async def plan(self, parameters: Hold, facts: Facts) -> AsyncIterator[Change]:
        checks = list(known(parameters.checks, facts, but=parameters.bad_before))
        effect = {"component": parameters.of, "checks": checks, "seconds": parameters.seconds.total_seconds(),
                  "every": parameters.every.total_seconds()}  # fmt: skip
        yield Change("hold", effect, inverse=LOOKS)


def known(checks: Sequence[str], facts: Facts, *, but: Sequence[str] = ()) -> tuple[str, ...]:
    """The checks without those left out. Raises Refused for one that the book does not have."""
    names = {one.id for one in facts.system.checks}
    if unknown := [name for name in checks if name not in names]:
        raise Refused(f"the book has no check named {unknown[0]}", nearest(unknown[0], names))
    return tuple(name for name in checks if name not in but)
