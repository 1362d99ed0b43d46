"""Old log rows, so that a retention rule has something to delete."""

from __future__ import annotations

from sqlalchemy import Engine, text

SEED = {
    "spider_logs": text(
        "INSERT INTO spider_logs (level, event, url, status, message, created_at)"
        " SELECT 'INFO', 'page', '/RENEC/estandares/EC' || lpad((n % 150 + 1)::text, 4, '0'), 200, 'seeded',"
        " now() - make_interval(days => :days) * n / :rows FROM generate_series(1, :rows) n"
    ),
    "api_logs": text(
        "INSERT INTO api_logs (method, route, path, status, duration_ms, client, release, created_at)"
        " SELECT 'GET', '/api/v1/standards', '/api/v1/standards', 200, 5 + n % 20, '127.0.0.1', 'seeded',"
        " now() - make_interval(days => :days) * n / :rows FROM generate_series(1, :rows) n"
    ),
}


def seed_logs(engine: Engine, rows: int, days: int) -> None:
    """Add `rows` rows to each log table, spread evenly over the last `days` days."""
    with engine.begin() as connection:
        for statement in SEED.values():
            connection.execute(statement, {"rows": rows, "days": days})
