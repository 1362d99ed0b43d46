"""Writes what the spider finds, its figures and its events to the database, once a second."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from typing import Any

from scrapy import Spider, signals
from scrapy.crawler import Crawler
from scrapy.http import Response
from sqlalchemy import Engine, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from src.harvester import runs
from src.models import Centre, Certifier, Standard, Table

log = logging.getLogger("src.harvester")

FLUSH_SECONDS = 1.0
TABLES: dict[str, type[Table]] = {"estandares": Standard, "certificadores": Certifier, "centros": Centre}


def upsert(engine: Engine, kind: str, rows: list[dict[str, Any]]) -> None:
    """Insert records or refresh them by their code; `last_seen_at` moves even where nothing else did."""
    table = TABLES[kind]
    statement = insert(table).values(rows)
    changed = {name: statement.excluded[name] for name in rows[0] if name != "code"}
    with engine.begin() as connection:
        connection.execute(
            statement.on_conflict_do_update(index_elements=["code"], set_={**changed, "last_seen_at": func.now()})
        )


class Recorder:
    """One per crawl. Rows wait in memory at most a second; a failed write is tried again with the next flush."""

    def __init__(self, engine: Engine, run_id: int, show: Callable[[runs.Figures], None]) -> None:
        self.engine, self.run_id, self.show = engine, run_id, show
        self.figures = runs.Figures()
        self.waiting: dict[str, list[dict[str, Any]]] = {kind: [] for kind in TABLES}
        self.events: list[dict[str, Any]] = []
        self.loop: LoopingCall | None = None
        self.crawler: Crawler | None = None

    def watch(self, crawler: Crawler) -> None:
        """Follow a crawl by its signals."""
        self.crawler = crawler
        connect = crawler.signals.connect
        connect(self.opened, signals.spider_opened)
        connect(self.closed, signals.spider_closed)
        connect(self.found, signals.item_scraped)
        connect(self.received, signals.response_received)
        connect(self.spider_failed, signals.spider_error)
        connect(self.request_failed, "request_failed")

    def opened(self, spider: Spider) -> None:
        self.event("INFO", "spider_start", message=f"mode {getattr(spider, 'mode', '')}")
        self.loop = LoopingCall(self.flush)  # binds the reactor, which Scrapy has chosen by now
        self.loop.start(FLUSH_SECONDS, now=False)

    def closed(self, reason: str) -> None:
        self.event("INFO", "spider_stop", message=reason)
        if self.loop and self.loop.running:
            self.loop.stop()

    def found(self, item: dict[str, Any]) -> None:
        record = item["record"]
        canonical = json.dumps(record, default=str, sort_keys=True).encode()
        row = {**record, "url": item["url"], "content_hash": hashlib.sha256(canonical).hexdigest()}
        self.waiting[item["kind"]].append(row)
        self.figures.items += 1

    def received(self, response: Response) -> None:
        self.figures.requests += 1
        level = "WARNING" if response.status >= 400 else "INFO"
        self.event(level, "page", url=response.url, status=response.status)

    def spider_failed(self, failure: Failure, response: Response) -> None:
        self.failed(failure.type.__name__, response.url, failure.getErrorMessage(), response.status)  # type: ignore[union-attr]

    def request_failed(self, url: str, error_type: str, message: str) -> None:
        self.failed(error_type, url, message, None)

    def failed(self, error_type: str, url: str, message: str, status: int | None) -> None:
        self.figures.error_types[error_type] += 1
        log.error("%s: %s", error_type, message)
        self.event("ERROR", "failure", error_type=error_type, url=url, status=status, message=message[:500])

    def event(self, level: str, event: str, **fields: Any) -> None:
        row = {"error_type": None, "url": None, "status": None, "message": "", **fields}
        self.events.append({"run_id": self.run_id, "level": level, "event": event, **row})

    def flush(self) -> None:
        """Write what waits. The database may be away for a moment: then it stays in memory for the next time."""
        self.read_stats()
        try:
            for kind, rows in self.waiting.items():
                if rows:
                    upsert(self.engine, kind, list({row["code"]: row for row in rows}.values()))
                    rows.clear()
            runs.log(self.engine, self.events)
            self.events.clear()
            runs.beat(self.engine, self.run_id, self.figures)
        except SQLAlchemyError as error:
            log.error("%s: could not store what was harvested, will try again", type(error).__name__)
        self.show(self.figures)

    def read_stats(self) -> None:
        """Figures that Scrapy counts itself."""
        assert self.crawler is not None and self.crawler.stats is not None
        stats = self.crawler.stats
        self.figures.expected = getattr(self.crawler.spider, "expected", 0)
        self.figures.not_modified = stats.get_value("httpcache/revalidate", 0)
        self.figures.throttled = stats.get_value("renec/throttled", 0)
