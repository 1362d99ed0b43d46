"""What the runtime holds of a component: are its instances there, since when, how often do they fall."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pydantic import Field

from opsbook.book.catalogue import Parameters
from opsbook.book.units import Dimension
from opsbook.book.values import Duration
from opsbook.connectors.contract import Connector, Fact
from opsbook.connectors.runtimes.contract import CRASHED, Status
from opsbook.connectors.workload import status, workload_name
from opsbook.observations.registry import Absent, observation

WORKLOAD = "workload"


class ReplicasParameters(Parameters):
    """How many instances are wanted."""

    replicas: int | None = Field(
        None, ge=0, description="how many should be ready; `replicas` of the component, else what the runtime wants"
    )


class WithinParameters(Parameters):
    """How far back."""

    within: Duration = Field(timedelta(hours=1), description="how far back")


def rows(found: Status) -> list[dict[str, object]]:
    """The instances, for people."""
    return [
        {"instance": one.name, "state": one.state, "ready": one.ready, "pid": one.pid, "reason": one.reason,
         "started": one.started.isoformat() if one.started else None}
        for one in found.instances
    ]  # fmt: skip


def wanted_of(connector: Connector, found: Status, said: int | None) -> int | None:
    """How many instances are wanted: by the check, the component, the runtime."""
    for count in (said, connector.component.replicas, found.workload.wanted):
        if count is not None:
            return count
    return None


def _because(found: Status) -> str:
    reasons = [f"{one.name}: {one.reason}" for one in found.instances if one.reason and one.state != "STOPPED"]
    return "; ".join(reasons[:5])


@observation(
    "workload.up",
    Dimension.STATE,
    of=WORKLOAD,
    vital=True,
    critical="is down",
    doc="Whether at least one instance is ready, or none is wanted.",
)
async def up(connector: Connector) -> Fact:
    found = await status(connector)
    wanted = wanted_of(connector, found, None)
    message = f"{found.workload.ready} ready" + (f" of {wanted}" if wanted is not None else "")
    why = _because(found)
    return Fact(found.workload.ready > 0 or wanted == 0, rows(found), f"{message}; {why}" if why else message)


@observation(
    "workload.ready",
    Dimension.COUNT,
    of=WORKLOAD,
    doc="Instances that are ready.",
)
async def ready(connector: Connector) -> Fact:
    found = await status(connector)
    version = f"version {found.version}" if found.version else ""
    return Fact(float(found.workload.ready), rows(found), _because(found) or version)


@observation(
    "workload.missing",
    Dimension.COUNT,
    of=WORKLOAD,
    parameters=ReplicasParameters,
    critical="> 0",
    doc="Instances that are wanted and not ready. One is wanted where neither check, component nor runtime says more.",
)
async def missing(connector: Connector, said: ReplicasParameters) -> Fact:
    found = await status(connector)
    wanted = wanted_of(connector, found, said.replicas)
    wanted = 1 if wanted is None else wanted
    why = _because(found)
    message = f"{found.workload.ready} of {wanted} ready" + (f"; {why}" if why else "")
    return Fact(float(max(0, wanted - found.workload.ready)), rows(found), message)


@observation(
    "workload.restarts",
    Dimension.COUNT,
    of=WORKLOAD,
    parameters=WithinParameters,
    warning="> 0",
    doc="How often an instance ended unasked within a time.",
)
async def restarts(connector: Connector, said: WithinParameters) -> Fact:
    runtime = connector.connections.runtime
    if "events" not in runtime.capabilities:
        count = (await status(connector)).restarts
        if count is None:
            raise Absent(f"the runtime does not count restarts of {await workload_name(connector)}")
        return Fact(float(count), message="as long as the runtime remembers")
    since = datetime.now(UTC) - said.within
    crashed = [
        event
        async for event in runtime.events(await workload_name(connector))
        if event.kind == CRASHED and event.at is not None and event.at >= since
    ]
    detail = [{"at": e.at.isoformat() if e.at else None, "instance": e.instance, "message": e.message} for e in crashed]
    return Fact(float(len(crashed)), detail, crashed[-1].message if crashed else "")


@observation(
    "workload.uptime",
    Dimension.DURATION,
    of=WORKLOAD,
    doc="How long its youngest ready instance has run.",
)
async def uptime(connector: Connector) -> Fact:
    found = await status(connector)
    started = {one.name: one.started for one in found.instances if one.ready and one.started is not None}
    if not started:
        raise Absent(f"no instance of {await workload_name(connector)} is ready")
    youngest = max(started, key=lambda name: started[name])
    seconds = (datetime.now(UTC) - started[youngest]).total_seconds()
    return Fact(max(0.0, seconds), rows(found), f"{youngest} is the youngest")


@observation(
    "workload.version",
    Dimension.TEXT,
    of=WORKLOAD,
    doc="The version that its instances run; several where they differ.",
)
async def version(connector: Connector) -> str:
    found = await status(connector)
    if not found.version:
        raise Absent(f"the runtime does not know which version {await workload_name(connector)} runs")
    return found.version
