"""Every request as a row of api_logs, written in batches so that no answer waits for it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from sqlalchemy import Engine, insert
from sqlalchemy.exc import SQLAlchemyError

from src.api import metrics
from src.db import pool_available
from src.models import ApiLog

log = logging.getLogger("src.api.request_log")

FLUSH_SECONDS = 1.0
MOST_WAITING = 5000


class RequestLog:
    """Rows wait at most a second, and 5,000 of them at most while the database is away; others are lost."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.waiting: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any]) -> None:
        if len(self.waiting) >= MOST_WAITING:
            metrics.LOG_ROWS_DROPPED.inc()
        else:
            self.waiting.append(row)

    async def run(self) -> None:
        """Flush every second until cancelled; the pool's figures are taken at the same beat."""
        while True:
            metrics.POOL_AVAILABLE.set(pool_available(self.engine))
            await asyncio.sleep(FLUSH_SECONDS)
            if self.waiting:
                await asyncio.to_thread(self.flush)

    def flush(self) -> None:
        rows, self.waiting = self.waiting, []
        try:
            with self.engine.begin() as connection:
                connection.execute(insert(ApiLog), rows)
        except SQLAlchemyError as error:
            log.error("%s: %d request records wait for the database", type(error).__name__, len(rows))
            self.waiting = rows + self.waiting
