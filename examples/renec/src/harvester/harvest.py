"""One harvest from start to end, in a process of its own because Scrapy's reactor cannot be started twice."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from scrapy.crawler import CrawlerProcess

from src.artifacts import ArtifactsFull, require_room
from src.db import engine
from src.harvester import runs
from src.harvester.recorder import Recorder
from src.harvester.spider import RegisterSpider
from src.logs import quieten_libraries
from src.settings import Settings, settings

log = logging.getLogger("src.harvester")

DOWNLOAD_TIMEOUT_SECONDS = 120


def scrapy_settings(s: Settings) -> dict[str, Any]:
    """Scrapy's settings: robots obeyed, speed by the site's answers, pages kept and asked for again by validator."""
    return {
        "USER_AGENT": "renec-harvester (+https://renec.localhost)",
        "ROBOTSTXT_OBEY": True,
        "DOWNLOAD_DELAY": s.download_delay,
        "CONCURRENT_REQUESTS_PER_DOMAIN": s.concurrent_requests,
        "AUTOTHROTTLE_ENABLED": True,
        "AUTOTHROTTLE_START_DELAY": s.download_delay,
        "AUTOTHROTTLE_MAX_DELAY": 5.0,
        "AUTOTHROTTLE_TARGET_CONCURRENCY": s.autothrottle_target,
        "DOWNLOAD_TIMEOUT": DOWNLOAD_TIMEOUT_SECONDS,
        "RETRY_TIMES": 2,
        "RETRY_HTTP_CODES": [500, 502, 503, 504, 408],
        "DOWNLOADER_MIDDLEWARES": {"src.harvester.politeness.HonourTooManyRequests": 545},
        "HTTPCACHE_ENABLED": True,
        "HTTPCACHE_POLICY": "scrapy.extensions.httpcache.RFC2616Policy",
        "HTTPCACHE_DIR": str((s.artifacts_dir / "pages").resolve()),
        "HTTPCACHE_GZIP": True,
        "TELNETCONSOLE_ENABLED": False,
        "LOGSTATS_INTERVAL": 0,
        "LOG_LEVEL": "WARNING",
        "LOG_INSTALL_ROOT_HANDLER": False,
    }


def harvest(mode: str, codes: list[str], show: Callable[[runs.Figures], None]) -> runs.Figures:
    """Crawl the register and store what it holds; returns the figures.

    Raises HarvestRunning while another harvest is alive, ArtifactsFull when no page could be kept.
    """
    s = settings()
    run_id = runs.start(engine(), mode)
    recorder = Recorder(engine(), run_id, show)
    try:
        require_room(s.artifacts_dir, s.artifacts_quota)
    except ArtifactsFull as full:
        recorder.failed("ArtifactsFull", str(s.artifacts_dir), str(full), None)
        runs.log(engine(), recorder.events)
        runs.finish(engine(), run_id, recorder.figures, "failed")
        raise
    logging.disable(logging.INFO)  # Scrapy sets its own levels and introduces itself at length
    process = CrawlerProcess(scrapy_settings(s))
    logging.disable(logging.NOTSET)
    quieten_libraries()
    crawler = process.create_crawler(RegisterSpider)
    recorder.watch(crawler)
    crawl = process.crawl(crawler, registry_url=s.registry_url, mode=mode, codes=codes)
    crawl.addErrback(lambda failure: recorder.failed(failure.type.__name__, s.registry_url, str(failure.value), None))
    process.start()
    recorder.flush()
    reason = crawler.stats.get_value("finish_reason") if crawler.stats else None
    recorder.figures.cancelled = reason == "shutdown"
    status = recorder.figures.status
    runs.finish(engine(), run_id, recorder.figures, status)
    log.info("harvest %d (%s) %s: %d items", run_id, mode, status, recorder.figures.items)
    return recorder.figures
