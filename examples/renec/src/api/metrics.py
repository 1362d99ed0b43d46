"""The application's own metrics, summed over its processes by prometheus_client's multiprocess mode."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

from src.api.figures import HarvestFigures

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0)

REQUESTS = Counter("http_requests_total", "Requests answered.", ["method", "route", "status"])
ERRORS = Counter("api_errors_total", "Requests answered with 5xx.", ["route"])
LATENCY = Histogram("http_request_duration_seconds", "Time to answer.", ["method", "route", "status"], buckets=BUCKETS)
POOL_SIZE = Gauge("db_connection_pool_size", "Places in the pools.", multiprocess_mode="livesum")
POOL_AVAILABLE = Gauge("db_connection_pool_available", "Free places in the pools.", multiprocess_mode="livesum")
LOG_ROWS_DROPPED = Counter("api_log_rows_dropped_total", "Request records lost while the database was away.")
RELEASE = Gauge("renec_release_info", "Processes by release.", ["version"], multiprocess_mode="livesum")


def forget_dead_processes(folder: Path) -> None:
    """Remove the live gauges of processes that were killed before they could remove them themselves."""
    for path in folder.glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        if not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
            path.unlink(missing_ok=True)


def forget_this_process() -> None:
    """Remove this process's live gauges, so that sums count the living alone."""
    multiprocess.mark_process_dead(os.getpid())


def exposition(figures: HarvestFigures) -> bytes:
    """Everything in Prometheus' text format."""
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    registry.register(figures)
    return generate_latest(registry)
