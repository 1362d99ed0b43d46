"""A few people who read: the same pages again and again, so that there are requests to measure."""

from __future__ import annotations

import itertools
import logging
import time

import httpx

from src.logs import log_to_stderr
from src.settings import settings

PAGES = ("/api/v1/standards", "/api/v1/standards?page=2", "/api/v1/certifiers")
EVERY_SECONDS = 0.15
log = logging.getLogger("src.visitors")


def main() -> None:
    """Read until stopped. A page that does not answer is read again the next time."""
    log_to_stderr()
    with httpx.Client(base_url=settings().api_url, timeout=5) as client:
        for page in itertools.cycle(PAGES):
            try:
                client.get(page)
            except httpx.HTTPError as error:
                log.warning("%s: %s", type(error).__name__, page)
            time.sleep(EVERY_SECONDS)


if __name__ == "__main__":
    main()
