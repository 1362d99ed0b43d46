"""Figures that live in the database and the broker, read when Prometheus asks, without ever making it wait long."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from src.artifacts import bytes_used
from src.scheduler.names import ENQUEUED_AT, QUEUE, TASK_FAILURES
from src.settings import Settings

log = logging.getLogger("src.api.figures")

LONGEST_WAIT_SECONDS = 1.0
ARTIFACTS_EVERY_SECONDS = 10.0
Families = list[Metric]

TOTALS = text(
    "SELECT coalesce(sum(items), 0), coalesce(sum(requests), 0), coalesce(sum(errors), 0),"
    " coalesce(sum(throttled), 0),"
    " count(*) FILTER (WHERE status = 'running' AND heartbeat_at > now() - interval '60 seconds') FROM harvest_runs"
)
LAST_FULL = text(
    "SELECT extract(epoch FROM coalesce(finished_at, now()) - started_at), items, expected"
    " FROM harvest_runs WHERE mode = 'full' ORDER BY id DESC LIMIT 1"
)
FRESHNESS = text("SELECT extract(epoch FROM now() - max(last_seen_at)) FROM ec_standards_v2")
LAST_TASKS = text("SELECT task, extract(epoch FROM max(started_at)) FROM task_runs GROUP BY task")


def gauge(name: str, help_: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_, value=value)


class HarvestFigures:
    """A Prometheus collector. A source that does not answer within a second is shown by its last known figures."""

    def __init__(self, settings: Settings, engine: Engine, broker: Redis) -> None:
        self.settings, self.engine, self.broker = settings, engine, broker
        self.readers: dict[str, Callable[[], Families]] = {
            "database": self.from_database,
            "broker": self.from_broker,
            "artifacts": self.from_artifacts,
        }
        self.threads = ThreadPoolExecutor(max_workers=len(self.readers), thread_name_prefix="figures")
        self.running: dict[str, Future[Families]] = {}
        self.known: dict[str, Families] = {}
        self.artifacts_read_at = 0.0

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        deadline = time.monotonic() + LONGEST_WAIT_SECONDS
        for name, read in self.readers.items():
            # What a reader brought after its scrape had given up is old by now.
            if name not in self.running or self.running[name].done():
                self.running[name] = self.threads.submit(read)
        up = GaugeMetricFamily("renec_source_up", "1 where the source of figures answered.", labels=["source"])
        for name in self.readers:
            up.add_metric([name], float(self.settle(name, deadline)))
        yield up
        for families in self.known.values():
            yield from families

    def settle(self, name: str, deadline: float) -> bool:
        """Wait for a reader until the deadline; True where it brought fresh figures."""
        try:
            self.known[name] = self.running[name].result(max(0.0, deadline - time.monotonic()))
        except FutureTimeout:
            return False
        except (SQLAlchemyError, RedisError, OSError) as error:
            log.warning("%s: no figures from the %s", type(error).__name__, name)
            del self.running[name]
            return False
        del self.running[name]
        return True

    def from_database(self) -> Families:
        with self.engine.connect() as connection:
            items, requests, errors, throttled, running = connection.execute(TOTALS).one()
            last = connection.execute(LAST_FULL).first()
            freshness = connection.execute(FRESHNESS).scalar()
            tasks = connection.execute(LAST_TASKS).all()
        families: Families = [
            CounterMetricFamily("spider_items_scraped", "Records harvested.", value=float(items)),
            CounterMetricFamily("spider_requests", "Pages asked for.", value=float(requests)),
            CounterMetricFamily("spider_errors", "Pages that failed.", value=float(errors)),
            CounterMetricFamily("spider_throttled", "Times that the register asked to wait.", value=float(throttled)),
            gauge("renec_harvests_running", "Harvests under way.", float(running)),
        ]
        if last:
            seconds, got, expected = last
            families.append(gauge("renec_harvest_duration_seconds", "Last full harvest.", float(seconds)))
            families.append(gauge("renec_harvest_coverage_ratio", "Its items by expected.", got / max(expected, 1)))
        if freshness is not None:
            families.append(gauge("renec_data_freshness_seconds", "Age of the newest standard.", float(freshness)))
        runs = GaugeMetricFamily("renec_task_last_run_timestamp_seconds", "Last start of a task.", labels=["task"])
        for task, at in tasks:
            runs.add_metric([task], float(at))
        return [*families, runs]

    def from_broker(self) -> Families:
        waiting: Any = self.broker.llen(QUEUE)
        # kombu pushes on the left and takes from the right
        oldest: Any = self.broker.lindex(QUEUE, -1) if waiting else None
        failures: Any = self.broker.hgetall(TASK_FAILURES)
        since = json.loads(oldest)["headers"].get(ENQUEUED_AT) if oldest else None
        age = max(0.0, time.time() - since) if since else 0.0
        failed = CounterMetricFamily("celery_task_failures", "Tasks that failed.", labels=["task"])
        for task, count in failures.items():
            failed.add_metric([task.decode()], float(count))
        return [
            gauge("celery_queue_length", "Tasks that wait.", float(waiting)),
            gauge("celery_oldest_waiting_task_age_seconds", "Age of the oldest waiting task.", age),
            failed,
        ]

    def from_artifacts(self) -> Families:
        if time.monotonic() - self.artifacts_read_at < ARTIFACTS_EVERY_SECONDS and "artifacts" in self.known:
            return self.known["artifacts"]
        self.artifacts_read_at = time.monotonic()
        used = bytes_used(self.settings.artifacts_dir)
        return [
            gauge("renec_artifacts_bytes", "Bytes of artifacts.", float(used)),
            gauge(
                "renec_artifacts_quota_bytes", "Bytes that artifacts may take.", float(self.settings.artifacts_quota)
            ),
        ]
