"""Celery's workers told what to do: how fast a task may run, what not to run, which queues to take tasks from."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Duration
from opsbook.book.words import nearest
from opsbook.connectors.celery import CeleryConnector
from opsbook.connectors.change import Change, Json
from opsbook.connectors.executors.celery import consumed
from opsbook.errors import Refused
from opsbook.operations.celery_calls import celery_of
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation

LOOKS = ("active", "reserved", "scheduled", "active_queues", "stats")
_LIMITED = re.compile(r"\[rate_limit=([^\]]+)\]")


async def _consumed(facts: Facts, component: str) -> tuple[CeleryConnector, dict[str, list[str]]]:
    """The workers and the queues that each consumes. Raises Refused where none answers."""
    celery = celery_of(facts, component)
    now = await consumed(celery)
    if not now:
        raise Refused(f"no worker of {component} answers", "start them, or raise `patience` of the component")
    facts.record(f"{component}: consumed queues", now)
    return celery, now


class Looked(OperationParameters):
    pass


@operation(
    "celery.inspect",
    Risk.READ,
    of="celery",
    idempotent=True,
    parameters=Looked,
    doc="What the workers run, hold and wait for, which queues they consume, and their statistics.",
)
class _Inspect(Repeatable):
    async def plan(self, parameters: Looked, facts: Facts) -> AsyncIterator[Change]:
        celery_of(facts, parameters.of)
        effect = {"component": parameters.of, "commands": list(LOOKS)}
        yield Change("celery-inspect", effect, inverse="nothing to undo: nothing changes")


class RateLimit(OperationParameters):
    task: str = Field(min_length=1, description="full name of the task")
    rate: str = Field(
        pattern=r"^(0|\d+(\.\d+)?(/[smh])?)$", description="the most that one worker begins, e.g. 10/m; 0: no limit"
    )


@operation(
    "celery.rate_limit",
    Risk.DISRUPTIVE,
    of="celery",
    idempotent=True,
    parameters=RateLimit,
    doc="Limits how often each worker begins a task. Workers forget it when they are restarted. Undo puts back the "
    "limit from before.",
)
class _RateLimit(Repeatable):
    async def plan(self, parameters: RateLimit, facts: Facts) -> AsyncIterator[Change]:
        celery, _ = await _consumed(facts, parameters.of)
        replies = await celery.broadcast("registered", {"taskinfoitems": ["rate_limit"]})
        told = [str(one) for said in replies.values() if isinstance(said, list) for one in said]
        names = sorted({one.partition(" ")[0] for one in told})
        if parameters.task not in names:
            raise Refused(f"no worker knows the task {parameters.task}", nearest(parameters.task, names))
        before = {
            found[1] if (found := _LIMITED.search(one)) else "0"
            for one in told
            if one.partition(" ")[0] == parameters.task
        }

        def to(rate: str) -> dict[str, Json]:
            arguments = {"task_name": parameters.task, "rate_limit": rate}
            return {"component": parameters.of, "command": "rate_limit", "arguments": arguments}

        back: Change | str = "the workers had different limits before"
        if len(before) == 1:
            back = Change("celery-control", to(next(iter(before))))
        evidence = {"now": sorted(before), "workers": sorted(replies)}
        yield Change("celery-control", to(parameters.rate), evidence, inverse=back)


class Revoke(OperationParameters):
    ids: tuple[str, ...] = Field(min_length=1, description="ids of the tasks")
    terminate: bool = Field(False, description="also end those that run now, by a signal to their process")


@operation(
    "celery.revoke",
    Risk.DISRUPTIVE,
    of="celery",
    idempotent=True,
    parameters=Revoke,
    doc="Tells the workers not to run these tasks. With `terminate` those that run now are killed, whatever they are "
    "in the middle of; only a pool of processes can do that. Workers forget it when all are restarted.",
)
class _Revoke(Repeatable):
    async def plan(self, parameters: Revoke, facts: Facts) -> AsyncIterator[Change]:
        celery, _ = await _consumed(facts, parameters.of)
        replies = await celery.broadcast("query_task", {"ids": list(parameters.ids)})
        known = {
            one: {"worker": node, "state": state[0]}
            for node, said in replies.items()
            if isinstance(said, dict)
            for one, state in said.items()
            if one in parameters.ids
        }
        arguments = {"task_id": list(parameters.ids), "terminate": parameters.terminate, "signal": "SIGTERM"}
        effect = {"component": parameters.of, "command": "revoke", "arguments": arguments}
        yield Change("celery-control", effect, {"known to workers": known}, inverse="a revoked task can be called anew")


class Consumers(OperationParameters):
    queues: tuple[str, ...] = Field((), description="these queues; all of the component where left out")


@operation(
    "celery.pause",
    Risk.DISRUPTIVE,
    of="celery",
    idempotent=True,
    parameters=Consumers,
    doc="Lets the workers take no more tasks from queues: tasks wait there. What a worker holds already it still runs. "
    "Undo, or celery.resume, lets them go on.",
)
class _Pause(Repeatable):
    async def plan(self, parameters: Consumers, facts: Facts) -> AsyncIterator[Change]:
        celery, now = await _consumed(facts, parameters.of)
        queues = list(parameters.queues or celery.component.queues)
        effect = {"component": parameters.of, "queues": queues, "consume": False}
        yield Change("celery-consumers", effect, {"now": now}, inverse=_as_now(parameters.of, queues, now))


def _as_now(component: str, queues: list[str], now: dict[str, list[str]]) -> Change | str:
    nodes = {queue: [node for node, taken in now.items() if queue in taken] for queue in queues}
    taken = {queue: found for queue, found in nodes.items() if found}
    if not taken:
        return "no worker took tasks from them"
    effect = {"component": component, "queues": list(taken), "consume": True, "nodes": taken}
    return Change("celery-consumers", effect)


@operation(
    "celery.resume",
    Risk.SAFE,
    of="celery",
    idempotent=True,
    parameters=Consumers,
    doc="Lets all workers take tasks from queues again. Where workers differ in their queues, undo of celery.pause or "
    "a restart of the workers is better: they then take what they were started with.",
)
class _Resume(Repeatable):
    async def plan(self, parameters: Consumers, facts: Facts) -> AsyncIterator[Change]:
        celery, now = await _consumed(facts, parameters.of)
        queues = list(parameters.queues or celery.component.queues)
        effect = {"component": parameters.of, "queues": queues, "consume": True}
        new = [queue for queue in queues if not all(queue in taken for taken in now.values())]
        back = {"component": parameters.of, "queues": new, "consume": False}
        inverse = Change("celery-consumers", back) if new else "all workers took tasks from them before"
        yield Change("celery-consumers", effect, {"now": now}, inverse=inverse)


class Drain(OperationParameters):
    within: Duration = Field(timedelta(minutes=10), description="how long running tasks may take to end")


@operation(
    "celery.drain",
    Risk.DISRUPTIVE,
    of="celery",
    idempotent=True,
    parameters=Drain,
    doc="Before a stop: the workers take no more tasks from any queue, and it waits until they have nothing left that "
    "runs or is reserved. Undo lets them take tasks again, each from the queues it had.",
)
class _Drain(Repeatable):
    async def plan(self, parameters: Drain, facts: Facts) -> AsyncIterator[Change]:
        celery, now = await _consumed(facts, parameters.of)
        queues = sorted({*celery.component.queues, *(queue for taken in now.values() for queue in taken)})
        seconds = parameters.within.total_seconds()
        effect = {"component": parameters.of, "queues": queues, "within": seconds}
        yield Change("celery-drain", effect, {"now": now}, inverse=_as_now(parameters.of, queues, now))
