"""Celery's queues and results in Redis: how much waits, since when, what failed, when a task last ran."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from pydantic import Field

from opsbook.book.catalogue import Cost, Parameters
from opsbook.book.units import Dimension
from opsbook.book.values import Duration
from opsbook.connectors.celery import UNACKNOWLEDGED, CeleryConnector
from opsbook.connectors.contract import Fact, ReadFailed
from opsbook.connectors.redis import RedisConnector
from opsbook.observations.redis_keys import BATCH, moment_of
from opsbook.observations.registry import Absent, observation

RESULTS = "celery-task-meta-*"
"""Keys of Celery's Redis result backend."""
ENDED = ("SUCCESS", "FAILURE")
SHOWN = 10


class QueueParameters(Parameters):
    queue: str = Field("", description="one queue; all of the component's `queues` where left out")


class OldestParameters(QueueParameters):
    header: str = Field("enqueued_at", description="message header with the time: seconds since 1970, or ISO 8601")


class ResultsParameters(Parameters):
    task: str = Field("", description="full name of a task (needs result_extended = True); all tasks where left out")
    within: Duration = Field(timedelta(hours=1), description="how far back results count")
    at_most: int = Field(20_000, ge=1, description="results that are looked at")


class LastRunParameters(Parameters):
    task: str = Field(description="full name of the task")
    key: str = Field("", description="Redis key that the task's application sets to the time of its last run")
    at_most: int = Field(20_000, ge=1, description="results that are looked at where no key is named")


@observation(
    "celery.queue_depth",
    Dimension.COUNT,
    of="celery",
    parameters=QueueParameters,
    doc="Messages that wait in the queues, of all priorities.",
)
async def queue_depth(celery: CeleryConnector, parameters: QueueParameters) -> Fact:
    depths = {}
    for queue in _queues(celery, parameters):
        depths[queue] = sum(await celery.broker.ask(partial(_lengths, lists=celery.lists(queue))))
    return Fact(float(sum(depths.values())), depths)


@observation(
    "celery.unacknowledged",
    Dimension.COUNT,
    of="celery",
    doc="Messages that workers took and have not acknowledged, of all queues: reserved, running with late "
    "acknowledgement, or held by a worker that died.",
)
async def unacknowledged(celery: CeleryConnector) -> float:
    return float(await celery.broker.ask(lambda client: client.hlen(UNACKNOWLEDGED)))


@observation(
    "celery.oldest_waiting",
    Dimension.DURATION,
    of="celery",
    parameters=OldestParameters,
    doc="How long the oldest message has waited in the queues; 0 where none waits. Celery does not record this: the "
    "publishing application must, in a handler of its signal before_task_publish: "
    "`headers.setdefault('enqueued_at', time.time())`.",
)
async def oldest_waiting(celery: CeleryConnector, parameters: OldestParameters) -> Fact:
    ages: dict[str, float] = {}
    for queue in _queues(celery, parameters):
        for message in await celery.broker.ask(partial(_oldest, lists=celery.lists(queue))):
            ages[queue] = max(_age(message, parameters.header), ages.get(queue, 0.0))
    return Fact(max(ages.values(), default=0.0), ages)


def _age(message: str, header: str) -> float:
    try:
        headers = json.loads(message)["headers"]
    except (ValueError, KeyError, TypeError):
        raise ReadFailed("the oldest message of the queue is no Celery message in JSON") from None
    moment = moment_of(headers.get(header))
    if moment is None:
        raise ReadFailed(
            f"the oldest message has no time in its header {header!r}: set it where tasks are published, "
            f"in a handler of before_task_publish: headers.setdefault({header!r}, time.time())"
        )
    return max(0.0, time.time() - moment.timestamp())


@observation(
    "celery.failure_rate",
    Dimension.RATIO,
    of="celery",
    parameters=ResultsParameters,
    cost=Cost.MODERATE,
    warning="> 5%",
    doc="Share of finished tasks that failed, by the results that the backend keeps. Where an application exports "
    "its own counters, prometheus observations of those are cheaper.",
)
async def failure_rate(celery: CeleryConnector, parameters: ResultsParameters) -> Fact:
    since = datetime.now(UTC) - parameters.within
    found, all_read = await _results(celery.results, parameters.at_most)
    if parameters.task and found and not any("name" in one for one in found):
        raise ReadFailed("the results do not name their task: set result_extended = True in the Celery application")
    ended = [
        one
        for one in found
        if parameters.task in ("", one.get("name")) and one.get("status") in ENDED and _done(one) >= since
    ]
    if not ended:
        raise Absent("no task has finished in that time, by the results that are kept")
    failures = [one for one in ended if one["status"] == "FAILURE"]
    rows = [{"task": one.get("name"), "id": one.get("task_id"), "error": _error(one)} for one in failures[:SHOWN]]
    more = "" if all_read else f"; only {len(found):,} results were looked at"
    return Fact(len(failures) / len(ended), rows, f"{len(failures)} of {len(ended)} failed{more}")


@observation(
    "celery.last_run",
    Dimension.DURATION,
    of=("celery", "celery-beat"),
    parameters=LastRunParameters,
    cost=Cost.MODERATE,
    doc="Time since a task last finished well. Best by a `key` of the broker's Redis that the application sets in a "
    "handler of task_success: `redis.set('last-run:' + sender.name, time.time())`. Without a key, by the results that "
    "the backend keeps, which name their task with result_extended = True. Runs in a table are read by "
    "postgres.freshness.",
)
async def last_run(celery: CeleryConnector, parameters: LastRunParameters) -> Fact:
    if parameters.key:
        written = await celery.broker.ask(lambda client: client.get(parameters.key))
        if written is None:
            raise Absent(f"the key {parameters.key!r} is not there: {parameters.task} never ran, or does not set it")
        moment = moment_of(written)
        if moment is None:
            raise ReadFailed(f"the key {parameters.key!r} holds no time")
    else:
        found, _ = await _results(celery.results, parameters.at_most)
        runs = [_done(one) for one in found if one.get("name") == parameters.task and one.get("status") == "SUCCESS"]
        if not runs:
            raise Absent(
                f"no result of {parameters.task} is kept: name a `key`, or set result_extended = True in Celery"
            )
        moment = max(runs)
    age = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    return Fact(age, message=f"at {moment.isoformat(timespec='seconds')}")


def _queues(celery: CeleryConnector, parameters: QueueParameters) -> tuple[str, ...]:
    return (parameters.queue,) if parameters.queue else celery.component.queues


async def _lengths(client: Any, lists: list[str]) -> list[int]:
    async with client.pipeline(transaction=False) as pipeline:
        for name in lists:
            pipeline.llen(name)
        return [int(length) for length in await pipeline.execute()]


async def _oldest(client: Any, lists: list[str]) -> list[str]:
    # Producers push on the left, workers pop on the right: the oldest is the last.
    async with client.pipeline(transaction=False) as pipeline:
        for name in lists:
            pipeline.lindex(name, -1)
        return [message for message in await pipeline.execute() if message is not None]


async def _results(redis: RedisConnector, at_most: int) -> tuple[list[dict[str, Any]], bool]:
    """Results that the backend keeps, and whether they are all. Shared by the facts of a sweep."""
    return await redis.once(("celery results", at_most), lambda: _read_results(redis, at_most))


async def _read_results(redis: RedisConnector, at_most: int) -> tuple[list[dict[str, Any]], bool]:
    found: dict[str, dict[str, Any]] = {}
    cursor = 0
    while True:
        cursor, part = await redis.ask(partial(_scan_results, cursor=cursor))
        found |= part
        if cursor == 0 or len(found) >= at_most:
            return list(found.values()), cursor == 0


async def _scan_results(client: Any, cursor: int) -> tuple[int, dict[str, dict[str, Any]]]:
    cursor, keys = await client.scan(cursor, match=RESULTS, count=BATCH)
    values = await client.mget(keys) if keys else []
    return cursor, {key: one for key, text in zip(keys, values, strict=True) if (one := _result(text))}


def _result(text: str | None) -> dict[str, Any] | None:
    try:
        one = json.loads(text or "")
    except ValueError:
        return None
    return one if isinstance(one, dict) else None


def _done(result: dict[str, Any]) -> datetime:
    return moment_of(result.get("date_done")) or datetime.min.replace(tzinfo=UTC)


def _error(result: dict[str, Any]) -> str:
    """The class of the exception. Its words may hold the users' data."""
    said = result.get("result")
    return str(said.get("exc_type", "")) if isinstance(said, dict) else ""
