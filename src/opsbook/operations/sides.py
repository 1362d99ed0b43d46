"""Blue and green: the idle side brought up with a version, traffic switched, the old side stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Duration
from opsbook.connectors.change import Change
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.runtimes.contract import Verb
from opsbook.connectors.sides import OTHER, Side, Sides, sides_of
from opsbook.connectors.smoke_tests import tests_of
from opsbook.connectors.switches.autoscaler import moved_autoscaler
from opsbook.connectors.switches.service import ServiceSwitch
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation


async def _sides(parameters: OperationParameters, facts: Facts) -> tuple[Sides, Side]:
    sides = sides_of(facts.connector(parameters.of).connections, parameters.of)
    active = await sides.active()
    facts.record(f"{parameters.of}: active side", active)
    return sides, active


class BringUp(OperationParameters):
    version: str = Field(min_length=1, description="the version, as the runtime names it")
    wait: Duration = Field(timedelta(minutes=10), description="how long an instance may take to be ready")
    smoke: bool = Field(True, description="send the component's smoke tests to the side itself")


@operation(
    "side.bring_up",
    Risk.SAFE,
    of="http",
    idempotent=True,
    parameters=BringUp,
    doc="Brings the side that gets no traffic to a version, starts it, and asks it past the proxy: its health, then "
    "the smoke tests. Undo stops it.",
)
class _BringUp(Repeatable):
    async def plan(self, parameters: BringUp, facts: Facts) -> AsyncIterator[Change]:
        sides, active = await _sides(parameters, facts)
        idle, wait = OTHER[active], parameters.wait.total_seconds()
        workload = sides.workload(idle)
        replicas = facts.system.components[parameters.of].replicas or await _running(facts, sides.workload(active))
        yield await facts.runtime.change(workload, Verb.DEPLOY, {"version": parameters.version, "wait": wait})
        start = {"wait": wait, "version": parameters.version, **({"replicas": replicas} if replicas else {})}
        yield await facts.runtime.change(workload, Verb.START, start)
        if sides.url(idle) is None:
            raise Refused(
                f"the book does not say where the {idle} side of {parameters.of} is asked",
                f"set `{idle}_url` in `deploys.components.{parameters.of}`",
            )
        tests = tests_of(facts.system.model.smoke_tests, [parameters.of], sides.settings.smoke_tests or ())
        wanted = [one.id for one in tests] if parameters.smoke else []
        effect: dict[str, Any] = {"component": parameters.of, "side": idle, "version": parameters.version,
                                  "within": wait, "tests": wanted}  # fmt: skip
        yield Change("side", effect, inverse="nothing to undo: it only asks")


async def _running(facts: Facts, workload: str) -> int:
    """How many instances of the side with traffic are wanted now. An autoscaler may make them more before the step is
    reached: the change `side` gives it as many as there are then."""
    try:
        return (await facts.runtime.status(workload)).workload.wanted or 0
    except ReadFailed:
        return 0


class Switch(OperationParameters):
    to: Side | None = Field(None, description="the side that gets traffic; the other one where left out")
    ask: bool = Field(True, description="see that it serves through its proxy; not where that shows a banner")


@operation(
    "traffic.switch",
    Risk.DISRUPTIVE,
    of="http",
    idempotent=True,
    parameters=Switch,
    doc="Sends the traffic of a component to its other side, and sees that it serves; put back where it does not. An "
    "autoscaler of the side that had it holds the other one from then on. Undo sends both back.",
)
class _Switch(Repeatable):
    async def plan(self, parameters: Switch, facts: Facts) -> AsyncIterator[Change]:
        sides, active = await _sides(parameters, facts)
        to = parameters.to or OTHER[active]
        asked = {} if parameters.ask else {"asked": False}
        back = Change(
            "traffic", {"component": parameters.of, "to": active, **asked}, guard={"active": to},
            inverse="it is an undo",
        )  # fmt: skip
        # Before the traffic: what the step yields is its last change.
        if isinstance(sides.switch, ServiceSwitch) and to != active:
            moved = await moved_autoscaler(sides.switch.runtime, sides.workload(active), sides.workload(to))
            if moved is not None:
                yield moved
        evidence = {"now": f"{active} ({sides.workload(active)})", "then": f"{to} ({sides.workload(to)})",
                    **await sides.switch.told(to)}  # fmt: skip
        yield Change(
            "traffic", {"component": parameters.of, "to": to, **asked}, evidence, {"active": active},
            back if to != active else "nothing to undo: it has the traffic already",
        )  # fmt: skip


class Retire(OperationParameters):
    keep: Side = Field(description="the side that must have the traffic: the other one is stopped")
    drain: Duration = Field(timedelta(seconds=30), description="how long an instance may finish its requests")


@operation(
    "side.retire",
    Risk.DISRUPTIVE,
    of="http",
    idempotent=True,
    parameters=Retire,
    doc="Stops the side that gets no traffic; refused where that is the one to keep. Undo starts it again.",
)
class _Retire(Repeatable):
    async def plan(self, parameters: Retire, facts: Facts) -> AsyncIterator[Change]:
        sides, active = await _sides(parameters, facts)
        if active != parameters.keep:
            raise Refused(f"{parameters.of} is served by its {active} side, not by {parameters.keep}", "switch first")
        wait = parameters.drain.total_seconds() + 30
        yield await facts.runtime.change(sides.workload(OTHER[active]), Verb.STOP, {"wait": wait})
