"""Failing over: the primary is fenced, its standby promoted, everybody led there, and the old one made a standby."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change, Json
from opsbook.connectors.http import HttpComponent
from opsbook.connectors.postgres_containers import look_at_both
from opsbook.connectors.postgres_pair import Seen, failover_of, one_primary, successor
from opsbook.connectors.postgres_places import names
from opsbook.connectors.postgres_service import follows
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation


async def seen_by(facts: Facts, component: str) -> tuple[Seen, Seen]:
    """Both servers now; noted as facts. Raises Refused where the book does not name them."""
    system = facts.connector(component).system
    found = await look_at_both(system, lambda: facts.runtime, component)
    facts.record(f"servers of {component}", _states(found))
    return found


def _states(seen: tuple[Seen, Seen]) -> dict[str, Json]:
    return {one.server.workload: f"{one.server.address}: {one.told}" for one in seen}


async def _pointed(facts: Facts, component: str, primary: Seen, other: Seen) -> bool:
    """Whether every place of the book names the primary."""
    for place in failover_of(facts.system, component).repoint:
        if place.service:
            leads, away = (primary, other) if place.follows == "primary" else (other, primary)
            if not await follows(facts.runtime, place.service, leads.server.workload, away.server.workload):
                return False
            continue
        assert place.file is not None
        try:
            text = facts.system.path(place.file.text).read_text(encoding="utf-8")
        except OSError:
            return False
        if not names(place, text, primary.server, other.server):
            return False
    return True


async def cast(facts: Facts, component: str, seen: tuple[Seen, Seen], planned: bool) -> tuple[Seen, Seen]:
    """Who is fenced, and who takes its place. Raises Refused where a failover would be wrong."""
    primary = one_primary(seen)
    if primary is None:
        new, old = successor(seen)
        return old, new
    (other,) = [one for one in seen if one is not primary]
    if not other.streaming and (other.fenced or not await _pointed(facts, component, primary, other)):
        return other, primary  # it was promoted before: what is left is to lead everybody there
    if not planned:
        raise Refused(
            f"the primary serves: {primary.server.workload} at {primary.server.address} answers",
            "nothing has to be saved; a planned switchover is asked for by planned=true",
        )
    if not (other.answers and other.streaming):
        raise Refused(
            f"{other.server.workload} does not stream from {primary.server.workload}: {other.told}",
            f"rebuild it first: `opsbook run rebuild-{component}`",
        )
    return primary, other


class Fence(OperationParameters):
    planned: bool = Field(False, description="the primary serves and is to be left: the standby gets all of it first")


@operation(
    "postgres.fence",
    Risk.DESTRUCTIVE,
    of="postgres",
    idempotent=True,
    parameters=Fence,
    doc="Stops the primary through the runtime until nothing of it runs and its address accepts nobody, and lays a "
    "standby.signal into its data folder, so that it never comes back as a primary; that of a server in a "
    "container is reached beside it. Refused while the primary serves, unless a planned switchover is meant: then the "
    "standby has everything first. Undo lets it serve again, unless the other was promoted, or may be by now.",
)
class _Fence(Repeatable):
    async def plan(self, parameters: Fence, facts: Facts) -> AsyncIterator[Change]:
        seen = await seen_by(facts, parameters.of)
        old, _ = await cast(facts, parameters.of, seen, parameters.planned)
        target: dict[str, Json] = {"component": parameters.of, "server": old.server.workload}
        effect = {**target, "planned": parameters.planned}
        yield Change("postgres-fence", effect, _states(seen), inverse=Change("postgres-unfence", target))


@operation(
    "postgres.promote",
    Risk.DESTRUCTIVE,
    of="postgres",
    idempotent=True,
    parameters=OperationParameters,
    doc="Promotes the standby, once it has applied all that it received and the other server is fenced and accepts "
    "nobody; asks both afterwards. Says how many transactions and bytes of the old primary's log never came, as far as "
    "its data folder can be read.",
)
class _Promote(Repeatable):
    async def plan(self, parameters: OperationParameters, facts: Facts) -> AsyncIterator[Change]:
        seen = await seen_by(facts, parameters.of)
        primary = one_primary(seen)
        if primary is None:
            new, _ = successor(seen)
        else:
            (other,) = [one for one in seen if one is not primary]
            # A planned switchover: it is the standby that will be promoted when this step is reached.
            new = other if other.answers and other.streaming else primary
        effect = {"component": parameters.of, "server": new.server.workload}
        inverse = "a promoted server does not follow again: rebuild the other, and switch over"
        yield Change("postgres-promote", effect, _states(seen), inverse=inverse)


@operation(
    "postgres.repoint",
    Risk.DISRUPTIVE,
    of="postgres",
    idempotent=True,
    parameters=OperationParameters,
    doc="Leads everybody to the primary: rewrites the places of the book that say where the database is, whole and at "
    "once, and has pools read them anew; the selectors of services of Kubernetes are set.",
)
class _Repoint(Repeatable):
    async def plan(self, parameters: OperationParameters, facts: Facts) -> AsyncIterator[Change]:
        for number, place in enumerate(failover_of(facts.system, parameters.of).repoint):
            where = {"service": place.service} if place.service else {"file": str(place.file)}
            effect: dict[str, Json] = {"component": parameters.of, "place": number, **where}
            if place.reload:
                effect["reload"] = place.reload
            yield Change("postgres-repoint", effect, inverse="a place names whoever is primary: repoint again")


class Serves(OperationParameters):
    within: float = Field(120, gt=0, description="seconds that it may take")
    since: float = Field(0, ge=0, description="when nobody was served any more, in seconds since 1970")


@operation(
    "postgres.wait_served",
    Risk.SAFE,
    of="postgres",
    idempotent=True,
    parameters=Serves,
    doc="Waits until the primary and every HTTP component that needs it answer, and says how long nobody was served.",
)
class _Serves(Repeatable):
    async def plan(self, parameters: Serves, facts: Facts) -> AsyncIterator[Change]:
        effect: dict[str, Any] = {
            "component": parameters.of, "pages": pages(facts, parameters.of), "within": parameters.within,
            "since": parameters.since,
        }  # fmt: skip
        yield Change("postgres-serves", effect, inverse="nothing to undo: waiting changes nothing")


def pages(facts: Facts, component: str) -> list[dict[str, str]]:
    """Pages that tell whether what needs the database serves: those of its checks, or the health page."""
    found = []
    for name, settings in facts.system.components.items():
        if not isinstance(settings, HttpComponent) or not settings.workload:
            continue
        if component not in facts.system.upstream(name):
            continue
        checked = [
            str(one.with_.get("path"))
            for one in facts.system.checks
            if one.of == name and one.observe == "http.status" and one.with_.get("path")
        ]
        found += [{"component": name, "path": path} for path in checked or [settings.health]]
    return found


@operation(
    "postgres.rebuild_standby",
    Risk.DESTRUCTIVE,
    of="postgres",
    idempotent=True,
    parameters=OperationParameters,
    doc="Makes the server that is not primary a standby of the one that is: by pg_rewind, or by a new copy where that "
    "cannot be. What it had written that the other never got is discarded. Its replication is seen before it is done.",
)
class _Rebuild(Repeatable):
    async def plan(self, parameters: OperationParameters, facts: Facts) -> AsyncIterator[Change]:
        seen = await seen_by(facts, parameters.of)
        primary = one_primary(seen)
        if primary is None:
            raise Refused("there is no primary that a standby could follow", "fail over first")
        # Which one that is, is asked again when it is done: an earlier step of the run may let them change places.
        inverse = "what was discarded is gone"
        yield Change("postgres-rebuild", {"component": parameters.of}, _states(seen), inverse=inverse)


class DrillFailover(OperationParameters):
    fault: bool = Field(False, description="kill the primary for real, in place of an orderly switchover")


@operation(
    "drill.failover",
    Risk.DESTRUCTIVE,
    of="postgres",
    idempotent=True,
    parameters=DrillFailover,
    doc="Fails over while a writer counts what was acknowledged to it, and measures: seconds until the application "
    "serves again, and acknowledged transactions that are gone. With `fault` the primary is killed. Only in an "
    "environment that the book calls disposable.",
)
class _DrillFailover(Repeatable):
    async def plan(self, parameters: DrillFailover, facts: Facts) -> AsyncIterator[Change]:
        if not facts.system.environment.disposable:
            raise Refused(
                f"{facts.system.name} is not disposable: a failover is drilled only where nothing can be lost",
                "set `disposable` of the environment, if that is so",
            )
        seen = await seen_by(facts, parameters.of)
        primary = one_primary(seen)
        if primary is not None:
            await cast(facts, parameters.of, seen, True)
        effect = {
            "component": parameters.of, "fault": parameters.fault, "pages": pages(facts, parameters.of),
            "places": len(failover_of(facts.system, parameters.of).repoint),
        }  # fmt: skip
        yield Change("drill-failover", effect, _states(seen), inverse="switch over again, once the other is rebuilt")
