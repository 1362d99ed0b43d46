"""Hooks on Celery: the time of enqueueing in a header, a row for every run of a task, a count of failures."""

from __future__ import annotations

import logging
import time
import warnings
from typing import Any

from celery import signals
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import insert, text, update
from sqlalchemy.exc import SQLAlchemyError

from src.scheduler.names import ENQUEUED_AT, TASK_FAILURES

log = logging.getLogger("src.scheduler")

# Celery warns of root at length at every start; pickle, which the warning is about, is not accepted here
warnings.filterwarnings("ignore", message=r"\s*You're running the worker with superuser")


def broker() -> Redis:
    from src.settings import settings

    return Redis.from_url(settings().broker_url, socket_timeout=2, socket_connect_timeout=2)


@signals.before_task_publish.connect
def stamp(headers: dict[str, Any] | None = None, **_: Any) -> None:
    """Celery itself does not record when a task was queued."""
    if headers is not None:
        headers.setdefault(ENQUEUED_AT, time.time())


@signals.setup_logging.connect
def one_log_line(**_: Any) -> None:
    from src.logs import log_to_stderr

    log_to_stderr()


@signals.task_prerun.connect
def open_row(task_id: str = "", task: Any = None, **_: Any) -> None:
    from src.db import engine
    from src.models import TaskRun

    try:
        with engine().begin() as connection:
            connection.execute(insert(TaskRun).values(task=task.name, task_id=task_id, state="STARTED"))
    except SQLAlchemyError as error:  # the task may still do its work without its row
        log.error("%s: no row for the start of %s", type(error).__name__, task.name)


@signals.task_postrun.connect
def close_row(task_id: str = "", task: Any = None, state: str = "", retval: Any = None, **_: Any) -> None:
    from src.db import engine
    from src.models import TaskRun

    error = f"{type(retval).__name__}: {retval}"[:500] if isinstance(retval, BaseException) else None
    closed = update(TaskRun).where(TaskRun.task_id == task_id, TaskRun.state == "STARTED")
    try:
        with engine().begin() as connection:
            connection.execute(closed.values(state=state or "UNKNOWN", finished_at=text("now()"), error=error))
    except SQLAlchemyError as failure:
        log.error("%s: no row for the end of %s", type(failure).__name__, task.name)


@signals.task_failure.connect
def count_failure(sender: Any = None, **_: Any) -> None:
    try:
        with broker() as redis:
            redis.hincrby(TASK_FAILURES, sender.name, 1)
    except RedisError as error:
        log.error("%s: a failure of %s was not counted", type(error).__name__, sender.name)
