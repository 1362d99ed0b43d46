"""The Celery application: its tasks and its timetable."""

from __future__ import annotations

import logging
import subprocess
import sys

from celery import Celery
from celery.schedules import crontab
from celery.signals import beat_init

from src.scheduler import signals  # noqa: F401  (connects the hooks)
from src.scheduler.names import QUEUE
from src.settings import settings

log = logging.getLogger("src.scheduler")

FRESHNESS_EVERY_SECONDS = 60.0
RESULTS_KEPT_SECONDS = 24 * 3600
HARVEST_LIMIT_SECONDS = 30 * 60
HARVEST_RUNNING = 4

app = Celery("renec", broker=settings().broker_url, backend=settings().broker_url)
app.conf.update(
    task_default_queue=QUEUE,
    task_acks_late=True,
    task_track_started=True,
    task_send_sent_event=True,
    worker_send_task_events=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    result_expires=RESULTS_KEPT_SECONDS,
    broker_connection_retry_on_startup=True,
    timezone="America/Mexico_City",
    beat_schedule={
        "daily-probe": {"task": "src.scheduler.daily_probe.trigger_harvest", "schedule": crontab(hour="6", minute="0")},
        "weekly-full-harvest": {
            "task": "src.scheduler.daily_probe.full_harvest",
            "schedule": crontab(hour="4", minute="0", day_of_week="sun"),
        },
        "freshness": {"task": "src.scheduler.daily_probe.check_freshness", "schedule": FRESHNESS_EVERY_SECONDS},
    },
)


class HarvestFailed(Exception):
    """The harvest ended with too many errors or could not run."""


def run_harvest(*arguments: str) -> str:
    """Harvest in a process of its own and return its last line.

    Raises HarvestFailed with that line. A harvest that already runs is no failure: the next turn will come.
    """
    command = [sys.executable, "-m", "src.cli", "harvest", "--quiet", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=HARVEST_LIMIT_SECONDS, check=False)
    said = (done.stdout.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    if done.returncode == HARVEST_RUNNING:
        return "skipped: a harvest is running"
    if done.returncode != 0:
        raise HarvestFailed(said)
    return said


@beat_init.connect
def check_freshness_at_once(**_: object) -> None:
    """Beat waits a whole interval before the first run; nobody should have to wait for the first answer."""
    check_freshness.delay()


@app.task
def trigger_harvest() -> str:
    """The daily probe: the first records of each kind, to see that the register still reads as it should."""
    return run_harvest("--mode", "probe")


@app.task
def full_harvest() -> str:
    """Everything."""
    return run_harvest("--mode", "full")


@app.task
def reharvest_items(ids: list[str]) -> str:
    """These records alone, by their codes."""
    return run_harvest("--codes", *ids)


@app.task
def check_freshness() -> dict[str, float | bool | None]:
    """Age of the newest standard, held against FRESHNESS_LIMIT_SECONDS."""
    from sqlalchemy import text

    from src.db import engine

    query = text("SELECT extract(epoch FROM now() - max(last_seen_at))::float FROM ec_standards_v2")
    with engine().connect() as connection:
        age = connection.execute(query).scalar()
    stale = age is None or age > settings().freshness_limit
    if stale:
        log.warning("StaleData: %s", "nothing was harvested yet" if age is None else f"newest standard {age:.0f} s old")
    return {"age_seconds": age, "stale": stale}
