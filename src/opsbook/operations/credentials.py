"""Credentials that are rotated without an outage: prepared, distributed, and the old one proven dead."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.planned import Rotation
from opsbook.book.values import Duration, Name
from opsbook.connectors.change import Change
from opsbook.connectors.credentials.pending import current, places_of, read, rotation_of
from opsbook.connectors.executors.credential import keeper_of
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation

KINDS = ("postgres", "redis", "http", "workload", "celery")
STAYS = "it is not used yet, and the next attempt takes it up"
FINAL = "the old credential is dead; another rotation makes a new one"


class OfRotation(OperationParameters):
    rotation: Name = Field(description="its id among `rotations` of the book")


async def _seen(parameters: OfRotation, facts: Facts) -> tuple[Rotation, dict[str, object]]:
    """The rotation, and what a plan may show of it: never a value."""
    rotation = rotation_of(facts.system, parameters.rotation)
    if rotation.of != parameters.of:
        raise Refused(f"{rotation.id} is a rotation of {rotation.of}", f"write of: {rotation.of}")
    connections = facts.connector(rotation.of).connections
    places = places_of(connections, rotation)
    under_way = await read(rotation, places)
    if under_way is None:
        now = (await current(rotation, places)).login
        new = keeper_of(connections, rotation).next_login(rotation.role, now)
    else:
        now, new = under_way.old.login, under_way.new.login
    logins = {"login now": now, "login then": new} if now else {}
    told: dict[str, object] = {"places": [str(place) for place in places], **logins}
    if under_way is not None:
        told["under way"] = True
    facts.record(f"{rotation.id}: rotation", told)
    return rotation, told


@operation(
    "credential.prepare",
    Risk.SAFE,
    of=KINDS,
    idempotent=True,
    parameters=OfRotation,
    doc="Makes a new secret, writes it as pending beside its first place, makes it valid beside the old one, and tries "
    "it. PostgreSQL: two logins take turns with the rights of one role; Redis: a second password of the same user.",
)
class _Prepare(Repeatable):
    async def plan(self, parameters: OfRotation, facts: Facts) -> AsyncIterator[Change]:
        rotation, told = await _seen(parameters, facts)
        effect = {"rotation": rotation.id, "component": rotation.of, "act": "prepare"}
        yield Change("credential", effect, told, inverse=STAYS)


@operation(
    "credential.distribute",
    Risk.SAFE,
    of=KINDS,
    idempotent=True,
    parameters=OfRotation,
    doc="Writes the prepared credential into every place that workloads read it from; both are valid meanwhile. Undo "
    "writes the old one again.",
)
class _Distribute(Repeatable):
    async def plan(self, parameters: OfRotation, facts: Facts) -> AsyncIterator[Change]:
        rotation, told = await _seen(parameters, facts)
        effect = {"rotation": rotation.id, "component": rotation.of}
        back = Change("credential", {**effect, "act": "withdraw"}, inverse="it is an undo")
        yield Change("credential", {**effect, "act": "distribute"}, told, inverse=back)


@operation(
    "credential.withdraw",
    Risk.SAFE,
    of=KINDS,
    idempotent=True,
    parameters=OfRotation,
    doc="Writes the old credential of a rotation that is under way into every place again; both are valid.",
)
class _Withdraw(Repeatable):
    async def plan(self, parameters: OfRotation, facts: Facts) -> AsyncIterator[Change]:
        rotation, told = await _seen(parameters, facts)
        if "under way" not in told:
            raise Refused(f"no rotation of {rotation.id} is under way", "there is nothing to go back from")
        effect = {"rotation": rotation.id, "component": rotation.of}
        back = Change("credential", {**effect, "act": "distribute"}, inverse="it is an undo")
        yield Change("credential", {**effect, "act": "withdraw"}, told, inverse=back)


@operation(
    "credential.expire",
    Risk.SAFE,
    of=KINDS,
    idempotent=True,
    parameters=OfRotation,
    doc="Waits until the one from before was accepted for as long as the book says (`overlap`), and empties its place.",
)
class _Expire(Repeatable):
    async def plan(self, parameters: OfRotation, facts: Facts) -> AsyncIterator[Change]:
        rotation, told = await _seen(parameters, facts)
        if rotation.previous is None:
            raise Refused(f"{rotation.id} has no place of the one from before", "set its `previous`, or leave this out")
        effect = {"rotation": rotation.id, "component": rotation.of, "act": "expire"}
        yield Change("credential", effect, told, inverse=FINAL)


class Retire(OfRotation):
    within: Duration = Field(timedelta(minutes=5), description="how long to wait until nobody lives by the old one")
    cut: bool = Field(False, description="in a breach: wait for nobody; end the sessions that remain afterwards")


@operation(
    "credential.retire",
    Risk.DISRUPTIVE,
    of=KINDS,
    idempotent=True,
    parameters=Retire,
    doc="Waits until no session lives by the old credential, makes it invalid, and proves that by trying it. Where "
    "sessions remain, nothing is made invalid, unless `cut` is said.",
)
class _Retire(Repeatable):
    async def plan(self, parameters: Retire, facts: Facts) -> AsyncIterator[Change]:
        rotation, told = await _seen(parameters, facts)
        within = parameters.within.total_seconds()
        effect = {"rotation": rotation.id, "component": rotation.of, "act": "retire", "within": within}
        if parameters.cut:
            effect["cut"] = True
        yield Change("credential", effect, told, inverse=FINAL)
