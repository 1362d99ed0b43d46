"""What keeps the crawl welcome: a 429 stops everything for as long as the site asks, and slows what follows."""

from __future__ import annotations

import logging

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response
from twisted.internet.interfaces import IDelayedCall

log = logging.getLogger("src.harvester.politeness")

DEFAULT_RETRY_AFTER_SECONDS = 5
LONGEST_RETRY_AFTER_SECONDS = 120
MOST_RETRIES = 12
LONGEST_DELAY_SECONDS = 2.0


def retry_after(response: Response) -> int:
    """Seconds that the site asks to wait; a date or nonsense counts as five."""
    value = (response.headers.get("Retry-After") or b"").decode()
    return min(int(value), LONGEST_RETRY_AFTER_SECONDS) if value.isdigit() else DEFAULT_RETRY_AFTER_SECONDS


class HonourTooManyRequests:
    """Downloader middleware: a 429 pauses the engine for Retry-After, doubles the delay, and asks again."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.resume: IDelayedCall | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> HonourTooManyRequests:
        return cls(crawler)

    def process_response(self, request: Request, response: Response) -> Request | Response:
        if response.status != 429 or request.meta.get("throttles", 0) >= MOST_RETRIES:
            return response
        seconds = retry_after(response)
        self.crawler.stats.inc_value("renec/throttled")  # type: ignore[union-attr]
        self.pause(seconds)
        self.slow_down(request)
        return request.replace(
            meta={**request.meta, "throttles": request.meta.get("throttles", 0) + 1}, dont_filter=True
        )

    def pause(self, seconds: int) -> None:
        engine = self.crawler.engine
        assert engine is not None
        if self.resume and self.resume.active():
            self.resume.reset(seconds)
            return
        from twisted.internet import reactor  # importing it earlier would install another than Scrapy's

        log.warning("TooManyRequests: the register asks to wait %d s", seconds)
        engine.pause()
        self.resume = reactor.callLater(seconds, engine.unpause)  # type: ignore[attr-defined]

    def slow_down(self, request: Request) -> None:
        slots = self.crawler.engine.downloader.slots  # type: ignore[union-attr]
        slot = slots.get(request.meta.get("download_slot"))
        if slot:
            slot.delay = min(slot.delay * 2, LONGEST_DELAY_SECONDS)
