"""Tasks called by name and followed to their end, and those that failed called once more."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Duration
from opsbook.book.words import nearest
from opsbook.connectors.celery import CeleryConnector
from opsbook.connectors.celery_results import Result, anywhere, result_of, results_of
from opsbook.connectors.change import Change, Json
from opsbook.connectors.executors.celery import SENDING, mark_of, task_id_of
from opsbook.connectors.executors.secrets import told_apart
from opsbook.errors import Refused
from opsbook.operations.contract import MAY_HOLD_SECRETS, Facts, OperationParameters, Verdict
from opsbook.operations.registry import operation

CELERY = ("celery", "celery-beat")
LOOKED_AT = 100_000
"""Results that are looked at for failed ones."""
LONGEST_TASK = timedelta(hours=1)
GOES_ON = "a task that was called runs; what it did, its author knows how to take back"


def celery_of(facts: Facts, component: str) -> CeleryConnector:
    """Raises Refused for what is no Celery."""
    found = facts.connector(component)
    if not isinstance(found, CeleryConnector):
        raise Refused(f"{component} is no celery component", "name one that is")
    return found


class _Calls:
    """The verdict on calls: safe to go on with, unless one was begun and there is no sign of it."""

    async def verify(self, key: str, change: Change, facts: Facts) -> Verdict:
        celery = celery_of(facts, change.effect["component"])
        for call in change.effect["calls"]:
            task_id = call.get("id") or task_id_of(key)
            queue = call.get("queue") or celery.component.queues[0]
            if await mark_of(celery, task_id) == SENDING and not await anywhere(celery, task_id, queue):
                return "unknown"
        # Made again it finds its tasks by their ids, and goes on following them.
        return "not_done"


class Call(OperationParameters):
    task: str = Field(min_length=1, description="full name of the task")
    args: tuple[Any, ...] = Field(
        (), description="its arguments by position; JSON, may hold secrets", json_schema_extra=MAY_HOLD_SECRETS
    )
    kwargs: dict[str, Any] = Field(
        {}, description="its arguments by name; JSON, may hold secrets", json_schema_extra=MAY_HOLD_SECRETS
    )
    queue: str = Field("", description="the queue; the component's first where left out")
    follow: bool = Field(True, description="wait for its end by the result backend; else it is only put into the queue")
    within: Duration = Field(LONGEST_TASK, description="how long it may take, with its wait in the queue")


@operation(
    "celery.call",
    Risk.DISRUPTIVE,
    of=CELERY,
    idempotent=False,
    parameters=Call,
    doc="Calls a task by its name and follows it to its end; its result is the step's. After a crash it is found again "
    "by its id and not called twice. A task whose results are not kept cannot be followed: set `follow` to false.",
)
class _Call(_Calls):
    async def plan(self, parameters: Call, facts: Facts) -> AsyncIterator[Change]:
        celery = celery_of(facts, parameters.of)
        known = await _known_tasks(celery)
        if known and parameters.task not in known:
            raise Refused(f"no worker knows the task {parameters.task}", nearest(parameters.task, known))
        queue = parameters.queue or celery.component.queues[0]
        waiting = await celery.broker.ask(lambda client: client.llen(queue))
        given, secrets = told_apart({"args": parameters.args, "kwargs": parameters.kwargs})
        call = {"task": parameters.task, **given, "queue": queue, **({"secrets": secrets} if secrets else {})}
        effect = {
            "component": parameters.of, "calls": [call], "follow": parameters.follow,
            "within": parameters.within.total_seconds(),
        }  # fmt: skip
        evidence = {"waiting in the queue": waiting, "workers answer": bool(known)}
        yield Change("celery-call", effect, evidence, inverse=GOES_ON)


async def _known_tasks(celery: CeleryConnector) -> list[str]:
    """The tasks that workers have registered; empty where none answers."""
    replies = await celery.inspect("registered")
    names = {str(name).partition(" ")[0] for said in replies.values() if isinstance(said, list) for name in said}
    return sorted(names)


class RetryFailed(OperationParameters):
    task: str = Field("", description="only this task; all where left out")
    within: Duration = Field(timedelta(days=1), description="only those that failed within this time")
    ids: tuple[str, ...] = Field((), description="exactly these tasks, whatever their time")
    most: int = Field(100, gt=0, le=1000, description="the most that may be called again; with more it is refused")
    follow: bool = Field(True, description="wait for their end")
    wait: Duration = Field(LONGEST_TASK, description="how long all of them may take")


@operation(
    "celery.retry_failed",
    Risk.DISRUPTIVE,
    of="celery",
    idempotent=False,
    parameters=RetryFailed,
    doc="Calls tasks that failed once more, with the arguments that the result backend keeps: the application needs "
    "`result_extended = True`. Each failed task is called again once, whoever asks how often.",
)
class _RetryFailed(_Calls):
    async def plan(self, parameters: RetryFailed, facts: Facts) -> AsyncIterator[Change]:
        celery = celery_of(facts, parameters.of)
        failed = await _failed(celery, parameters, facts.clock.now())
        lacking = [one["task_id"] for one in failed if not _complete(one)]
        if lacking:
            raise Refused(
                f"{len(lacking)} failed tasks do not tell their name and arguments, such as {lacking[0]}",
                "set result_extended = True in the Celery application; what failed before cannot be called again",
            )
        calls: list[dict[str, Json]] = []
        for one in sorted(failed, key=lambda one: str(one["task_id"])):
            again = task_id_of(f"again:{one['task_id']}")
            if await mark_of(celery, again) is None:
                calls.append({"again": str(one["task_id"]), "id": again})
        if len(calls) > parameters.most:
            raise Refused(f"{len(calls)} tasks failed, more than the {parameters.most} allowed", "raise `most`")
        chosen = {call["again"] for call in calls}
        by_task = Counter(str(one.get("name")) for one in failed if one["task_id"] in chosen)
        facts.record(f"{parameters.of}: failed tasks", len(calls))
        if calls:
            effect = {
                "component": parameters.of, "calls": calls, "follow": parameters.follow,
                "within": parameters.wait.total_seconds(),
            }  # fmt: skip
            evidence = {"tasks": dict(by_task), "called again before": len(failed) - len(calls)}
            yield Change("celery-call", effect, evidence, inverse=GOES_ON)


async def _failed(celery: CeleryConnector, parameters: RetryFailed, now: datetime) -> Sequence[Result]:
    if parameters.ids:
        found = [await result_of(celery.results, one) for one in parameters.ids]
        for task_id, one in zip(parameters.ids, found, strict=True):
            if one is None or one.get("status") != "FAILURE":
                raise Refused(f"no failed task {task_id} is kept", "`celery.inspect` and the worker's log tell more")
        return [one for one in found if one is not None]
    since = now - parameters.within
    return [
        one
        for one in await results_of(celery.results, LOOKED_AT)
        if one.get("status") == "FAILURE" and parameters.task in ("", one.get("name")) and _ended(one) >= since
    ]


def _complete(result: Result) -> bool:
    return bool(result.get("name")) and isinstance(result.get("args"), list) and isinstance(result.get("kwargs"), dict)


def _ended(result: Result) -> datetime:
    try:
        at = datetime.fromisoformat(str(result.get("date_done")))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
