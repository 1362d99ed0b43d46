"""Workloads, the same on every runtime: the runtime plans each change, with its guard and its undo."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.references import SecretReference
from opsbook.book.values import VariableName
from opsbook.connectors.change import Change
from opsbook.connectors.http import HttpSettings
from opsbook.connectors.runtimes.contract import Unsupported, Verb
from opsbook.connectors.sides import serving_workload, version_before
from opsbook.connectors.workload import workload_of
from opsbook.errors import Refused
from opsbook.operations.contract import MAY_HOLD_SECRETS, Facts, OperationParameters, Repeatable, Verdict
from opsbook.operations.registry import operation


class Workload(OperationParameters):
    wait: float = Field(120, gt=0, description="seconds that one instance may take to be ready")
    health: bool = Field(True, description="wait until its health page answers, where the component has one")


async def change_of(facts: Facts, component: str, verb: Verb, arguments: dict[str, Any]) -> Change:
    """The runtime's change. Raises Absent for a component without workload, Unsupported where the runtime cannot."""
    connections = facts.connector(component).connections
    workload = await serving_workload(connections, component) or workload_of(facts.system, component)
    if verb.value not in facts.runtime.capabilities:
        raise Unsupported(f"this runtime cannot {verb.value} a workload", "`opsbook doctor` lists what it can")
    return await facts.runtime.change(workload, verb, arguments)


def gate(facts: Facts, parameters: Workload) -> Change | None:
    """The wait for the health page; None where the component has none."""
    component = facts.system.components[parameters.of]
    if not parameters.health or not isinstance(component, HttpSettings):
        return None
    effect = {"component": parameters.of, "healthy": True, "within": parameters.wait}
    return Change("wait", effect, inverse="nothing to undo: waiting changes nothing")


class _Verb(Repeatable):
    verb: Verb
    gated = True

    def arguments(self, parameters: Any) -> dict[str, Any]:
        return {"wait": parameters.wait}

    async def plan(self, parameters: Any, facts: Facts) -> AsyncIterator[Change]:
        yield await change_of(facts, parameters.of, self.verb, self.arguments(parameters))
        wait = gate(facts, parameters) if self.gated else None
        if wait is not None:
            yield wait


@operation(
    "workload.start", Risk.SAFE, of="workload", idempotent=True, parameters=Workload,
    doc="Starts a workload that is down and waits until it is ready.",
)  # fmt: skip
class _Start(_Verb):
    verb = Verb.START

    async def plan(self, parameters: Workload, facts: Facts) -> AsyncIterator[Change]:
        replicas = facts.system.components[parameters.of].replicas
        arguments = {"wait": parameters.wait, **({"replicas": replicas} if replicas else {})}
        yield await change_of(facts, parameters.of, Verb.START, arguments)
        wait = gate(facts, parameters)
        if wait is not None:
            yield wait


@operation(
    "workload.stop", Risk.DISRUPTIVE, of="workload", idempotent=True, parameters=Workload,
    doc="Stops a workload: nobody serves until it is started again. Undo starts what ran.",
)  # fmt: skip
class _Stop(_Verb):
    verb = Verb.STOP
    gated = False


@operation(
    "workload.restart", Risk.DISRUPTIVE, of="workload", idempotent=True, parameters=Workload,
    doc="Restarts a workload one instance at a time, each ready before the next; cut off, it restarts one once more.",
)  # fmt: skip
class _Restart(_Verb):
    verb = Verb.RESTART


class Scale(Workload):
    replicas: int = Field(ge=1, description="how many instances are to run; to none, use workload.stop")
    autoscaler: bool = Field(False, description="bring its autoscaler to exactly this number, where one holds it")


@operation(
    "workload.scale", Risk.SAFE, of="workload", idempotent=True, parameters=Scale,
    doc="Brings a workload to a number of instances, at least one and within `scaling` of the book. Undo goes back to"
    " the number from before.",
)  # fmt: skip
class _Scale(_Verb):
    verb = Verb.SCALE

    def arguments(self, parameters: Scale) -> dict[str, Any]:
        arguments = {"replicas": parameters.replicas, "wait": parameters.wait}
        return {**arguments, "autoscaler": True} if parameters.autoscaler else arguments

    async def plan(self, parameters: Scale, facts: Facts) -> AsyncIterator[Change]:
        _refuse_outside(facts, parameters)
        async for change in super().plan(parameters, facts):
            yield change


def _refuse_outside(facts: Facts, parameters: Scale) -> None:
    """Raises Refused for a number outside `scaling` of the book."""
    scaling = facts.system.model.scaling.get(parameters.of)
    if scaling is None:
        return
    least, most, wanted = scaling.min, scaling.max, parameters.replicas
    beyond = f"at least {least}" if least is not None and wanted < least else ""
    beyond = f"at most {most}" if most is not None and wanted > most else beyond
    if beyond:
        reason = f"{wanted} instances of {parameters.of} are outside `scaling` of the book: {beyond}"
        raise Refused(reason, f"choose another number, or change `scaling.{parameters.of}` in book.yaml")


class Deploy(Workload):
    version: str = Field(min_length=1, description="the version, as the runtime names it")


@operation(
    "workload.deploy", Risk.DISRUPTIVE, of="workload", idempotent=True, parameters=Deploy,
    doc="Brings a workload to a version, one instance at a time. Undo goes back to the version from before.",
)  # fmt: skip
class _Deploy(_Verb):
    verb = Verb.DEPLOY

    def arguments(self, parameters: Deploy) -> dict[str, Any]:
        return {"version": parameters.version, "wait": parameters.wait}


class Rollback(Workload):
    version: str = Field("", description="the version to go back to; the one before where left out")


@operation(
    "workload.rollback", Risk.DISRUPTIVE, of="workload", idempotent=True, parameters=Rollback,
    doc="Brings a workload back to the version before, or to a named one, one instance at a time.",
)  # fmt: skip
class _Rollback(_Verb):
    verb = Verb.ROLLBACK

    async def plan(self, parameters: Rollback, facts: Facts) -> AsyncIterator[Change]:
        connections = facts.connector(parameters.of).connections
        version = parameters.version or await version_before(connections, parameters.of)
        arguments = {"wait": parameters.wait, **({"version": version} if version else {})}
        verb = Verb.ROLLBACK
        if version and not parameters.version:
            workload = await serving_workload(connections, parameters.of)
            kept = await facts.runtime.revisions(workload)
            # What the other side ran, this one may never have run.
            verb = Verb.ROLLBACK if any(one.version == version for one in kept) else Verb.DEPLOY
        yield await change_of(facts, parameters.of, verb, arguments)
        wait = gate(facts, parameters)
        if wait is not None:
            yield wait


class Exec(OperationParameters):
    argv: tuple[str, ...] = Field(min_length=1, description="program and arguments; no shell reads them")
    timeout: float = Field(600, gt=0, description="seconds after which it is ended")
    env: dict[VariableName, str | SecretReference] = Field(
        {}, description="further variables of its environment; may hold secrets", json_schema_extra=MAY_HOLD_SECRETS
    )


@operation(
    "workload.exec", Risk.DESTRUCTIVE, of="workload", idempotent=False, parameters=Exec,
    doc="Runs one command in the directory and environment of a workload. What it does is not known to opsbook.",
)  # fmt: skip
class _Exec:
    async def plan(self, parameters: Exec, facts: Facts) -> AsyncIterator[Change]:
        arguments: dict[str, Any] = {"argv": list(parameters.argv), "timeout": parameters.timeout}
        for name, value in parameters.env.items():
            if isinstance(value, SecretReference):
                arguments.setdefault("secrets", {})[name] = value.text
            else:
                arguments.setdefault("env", {})[name] = value
        yield await change_of(facts, parameters.of, Verb.EXEC, arguments)

    async def verify(self, key: str, change: Change, facts: Facts) -> Verdict:
        return "unknown"
