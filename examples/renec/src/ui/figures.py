"""The API's figures, fetched in the background so that a slow API does not make a slow page."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any

import httpx

log = logging.getLogger("src.ui")

REFRESH_SECONDS = 5.0
TIMEOUT_SECONDS = 3.0
SOURCES = {"harvests": "/api/v1/stats/harvests?most=8", "standards": "/api/v1/standards", "version": "/version"}


class Figures:
    """The last answer of each source, how long it took (seconds) and what went wrong with the last try."""

    def __init__(self, api_url: str) -> None:
        self.client = httpx.AsyncClient(base_url=api_url, timeout=TIMEOUT_SECONDS)
        self.answers: dict[str, Any] = {}
        self.took: dict[str, float] = {}
        self.error: str | None = None

    async def run(self) -> None:
        """Refresh every five seconds until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> None:
        self.error = None
        for name, path in SOURCES.items():
            started = time.perf_counter()
            try:
                response = await self.client.get(path)
                response.raise_for_status()
                self.answers[name] = response.json()
            except httpx.HTTPError as error:
                self.error = f"{type(error).__name__} from {path.split('?')[0]}"
                log.error("%s: %s", type(error).__name__, path)
            self.took[name] = time.perf_counter() - started

    async def close(self) -> None:
        with contextlib.suppress(RuntimeError):
            await self.client.aclose()
