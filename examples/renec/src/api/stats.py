"""How the harvests go: the last runs, and what they amount to."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Query
from sqlalchemy import Connection, text

from src.db import engine

router = APIRouter(prefix="/api/v1/stats")

RUNS = text(
    "SELECT id, mode, CASE WHEN status = 'running' AND heartbeat_at < now() - interval '60 seconds' THEN 'abandoned'"
    " ELSE status END AS status, started_at, finished_at, expected, items, requests, not_modified, throttled, errors,"
    " error_types, extract(epoch FROM coalesce(finished_at, now()) - started_at)::float AS duration_seconds"
    " FROM harvest_runs ORDER BY id DESC LIMIT :most"
)
LAST_FULL = text("SELECT items, expected FROM harvest_runs WHERE mode = 'full' ORDER BY id DESC LIMIT 1")
TOTALS = text(
    "SELECT (SELECT count(*) FROM ec_standards_v2) AS standards,"
    " (SELECT count(*) FROM certificadores_v2) AS certifiers, (SELECT count(*) FROM centros) AS centres"
)
FRESHNESS = text(
    "SELECT extract(epoch FROM now() - max(last_seen_at))::float AS newest,"
    " extract(epoch FROM now() - min(last_seen_at))::float AS oldest FROM ec_standards_v2"
)
TASKS = text(
    "SELECT DISTINCT ON (task) task, state, started_at, finished_at, error FROM task_runs ORDER BY task, id DESC"
)


def harvest_row(row: dict[str, Any]) -> dict[str, Any]:
    """A run with its speed: records an hour over the time that it took."""
    hours = row["duration_seconds"] / 3600
    return {**row, "items_per_hour": round(row["items"] / hours) if hours else 0}


def coverage(connection: Connection) -> float | None:
    """Records harvested by records that the register says it holds, in the last full harvest."""
    last = connection.execute(LAST_FULL).first()
    return round(last.items / last.expected, 4) if last and last.expected else None


@router.get("/harvests")
def harvests(most: int = Query(20, ge=1, le=200)) -> dict[str, Any]:
    with engine().connect() as connection:
        runs = [harvest_row(dict(row)) for row in connection.execute(RUNS, {"most": most}).mappings()]
        freshness = connection.execute(FRESHNESS).one()
        error_types: dict[str, int] = {}
        for run in runs:
            for kind, count in run["error_types"].items():
                error_types[kind] = error_types.get(kind, 0) + count
        return {
            "running": next((run for run in runs if run["status"] == "running"), None),
            "last": runs[0] if runs else None,
            "freshness_seconds": freshness.newest,
            "oldest_record_seconds": freshness.oldest,
            "coverage": coverage(connection),
            "error_types": error_types,
            "totals": dict(connection.execute(TOTALS).mappings().one()),
            "tasks": [dict(row) for row in connection.execute(TASKS).mappings()],
            "runs": runs,
        }
