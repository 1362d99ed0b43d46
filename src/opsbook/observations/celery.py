"""Celery workers: who is alive, what they do (broadcasts), and when scheduled tasks last ran."""

from __future__ import annotations

import time
from typing import Any

from pydantic import Field

from opsbook.book.catalogue import Parameters
from opsbook.book.units import Dimension
from opsbook.connectors.celery import CeleryConnector, Replies
from opsbook.connectors.contract import Fact, ReadFailed
from opsbook.observations.registry import observation

SHOWN = 20


class WorkersParameters(Parameters):
    expected: tuple[str, ...] = Field(
        (), description="node names such as celery@host; only these count, if any are named"
    )


class TasksParameters(Parameters):
    task: str = Field("", description="full name of a task; all tasks where left out")


@observation(
    "celery.up",
    Dimension.STATE,
    of="celery",
    vital=True,
    critical="is down",
    doc="Whether any worker answers a ping through the broker.",
)
async def up(celery: CeleryConnector) -> Fact:
    replies = await celery.inspect("ping")
    return Fact(bool(replies), sorted(replies), _patience(celery, replies))


@observation(
    "celery.workers",
    Dimension.COUNT,
    of="celery",
    parameters=WorkersParameters,
    critical="< 1",
    doc="Workers that answer a ping within the component's `patience`.",
)
async def workers(celery: CeleryConnector, parameters: WorkersParameters) -> Fact:
    replies = await celery.inspect("ping")
    missing = sorted(set(parameters.expected) - set(replies))
    count = len(parameters.expected) - len(missing) if parameters.expected else len(replies)
    return Fact(float(count), sorted(replies), f"silent: {', '.join(missing)}" if missing else "")


@observation(
    "celery.active",
    Dimension.COUNT,
    of="celery",
    parameters=TasksParameters,
    doc="Tasks that workers run now.",
)
async def active(celery: CeleryConnector, parameters: TasksParameters) -> Fact:
    tasks = _tasks(await _answered(celery, "active"), parameters)
    return Fact(float(len(tasks)), tasks[:SHOWN])


@observation(
    "celery.reserved",
    Dimension.COUNT,
    of="celery",
    parameters=TasksParameters,
    doc="Tasks that workers have taken from their queue and not begun.",
)
async def reserved(celery: CeleryConnector, parameters: TasksParameters) -> Fact:
    tasks = _tasks(await _answered(celery, "reserved"), parameters)
    return Fact(float(len(tasks)), tasks[:SHOWN])


@observation(
    "celery.longest_task",
    Dimension.DURATION,
    of="celery",
    parameters=TasksParameters,
    doc="How long the task has been running that runs longest; 0 where none does. By the workers' clocks.",
)
async def longest_task(celery: CeleryConnector, parameters: TasksParameters) -> Fact:
    tasks = _tasks(await _answered(celery, "active"), parameters)
    return Fact(max((task["seconds"] for task in tasks if task["seconds"] is not None), default=0.0), tasks[:SHOWN])


@observation(
    "celery.busy_ratio",
    Dimension.RATIO,
    of="celery",
    doc="Running tasks as a share of what all workers can run at once.",
)
async def busy_ratio(celery: CeleryConnector) -> Fact:
    running = _tasks(await _answered(celery, "active"), TasksParameters())
    stats = await _answered(celery, "stats")
    room = sum(int(said["pool"].get("max-concurrency") or 0) for said in stats.values())
    if not room:
        raise ReadFailed(f"{celery.name}: the workers do not tell how much they can run at once")
    return Fact(len(running) / room, message=f"{len(running)} of {room}")


async def _answered(celery: CeleryConnector, command: str) -> Replies:
    replies = await celery.inspect(command)
    if not replies:
        raise ReadFailed(f"{celery.name}: {_patience(celery, replies)}")
    return replies


def _patience(celery: CeleryConnector, replies: Replies) -> str:
    if replies:
        return f"{len(replies)} workers answer"
    return f"no worker answers within {celery.component.patience.total_seconds():g} s"


def _tasks(replies: Replies, parameters: TasksParameters) -> list[dict[str, Any]]:
    """Tasks in the workers' answers, longest first. Arguments are the users' data and stay out."""
    now = time.time()
    tasks = [
        {
            "task": task["name"],
            "id": task["id"],
            "worker": node,
            "seconds": round(max(0.0, now - task["time_start"]), 3) if task.get("time_start") else None,
        }
        for node, said in replies.items()
        if isinstance(said, list)
        for task in said
        if parameters.task in ("", task["name"])
    ]
    return sorted(tasks, key=lambda task: -(task["seconds"] or 0.0))
