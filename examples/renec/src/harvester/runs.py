"""The record of a harvest: one row that lives as long as the harvest does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, insert, text, update
from sqlalchemy.exc import IntegrityError

from src.models import HarvestRun, SpiderLog

ABANDONED_AFTER_SECONDS = 60
TOLERATED_ERROR_SHARE = 0.05

ABANDON = text(
    "UPDATE harvest_runs SET status = 'abandoned', finished_at = heartbeat_at"
    " WHERE status = 'running' AND heartbeat_at < now() - make_interval(secs => :seconds)"
)


class HarvestRunning(Exception):
    """Another harvest runs; the register is crawled by one at a time."""


@dataclass
class Figures:
    """Counts of one harvest. `expected` is the number of records that the register says it holds."""

    expected: int = 0
    items: int = 0
    requests: int = 0
    not_modified: int = 0
    throttled: int = 0
    error_types: Counter[str] = field(default_factory=Counter)
    cancelled: bool = False

    @property
    def errors(self) -> int:
        return sum(self.error_types.values())

    @property
    def status(self) -> str:
        """`completed` when something came in and at most 5 % of it failed, else `failed`; `cancelled` by a signal."""
        if self.cancelled:
            return "cancelled"
        seen = self.items + self.errors
        return "completed" if self.items and self.errors <= TOLERATED_ERROR_SHARE * seen else "failed"

    def row(self) -> dict[str, Any]:
        return {
            "expected": self.expected,
            "items": self.items,
            "requests": self.requests,
            "not_modified": self.not_modified,
            "throttled": self.throttled,
            "errors": self.errors,
            "error_types": dict(self.error_types),
        }


def start(engine: Engine, mode: str) -> int:
    """Open a run and return its id.

    A run without a heartbeat for a minute has lost its process and is closed as abandoned first.
    Raises HarvestRunning while another is alive.
    """
    with engine.begin() as connection:
        connection.execute(ABANDON, {"seconds": ABANDONED_AFTER_SECONDS})
    try:
        with engine.begin() as connection:
            opened = insert(HarvestRun).values(mode=mode, status="running").returning(HarvestRun.id)
            return connection.execute(opened).scalar_one()
    except IntegrityError as error:
        raise HarvestRunning("a harvest is running; wait for it or look at /api/v1/stats/harvests") from error


def beat(engine: Engine, run_id: int, figures: Figures) -> None:
    """Store the figures so far and that the harvest is alive."""
    with engine.begin() as connection:
        alive = update(HarvestRun).where(HarvestRun.id == run_id)
        connection.execute(alive.values(**figures.row(), heartbeat_at=text("now()")))


def finish(engine: Engine, run_id: int, figures: Figures, status: str) -> None:
    """Close the run with its last figures."""
    with engine.begin() as connection:
        closed = update(HarvestRun).where(HarvestRun.id == run_id)
        now = text("now()")
        connection.execute(closed.values(**figures.row(), status=status, heartbeat_at=now, finished_at=now))


def log(engine: Engine, rows: list[dict[str, Any]]) -> None:
    """Append events to spider_logs."""
    if rows:
        with engine.begin() as connection:
            connection.execute(insert(SpiderLog), rows)
