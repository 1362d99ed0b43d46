"""Saying once that the store is gone, and once that it is back: every part of a watch meets it at the same time."""

from __future__ import annotations

import logging
import time

from opsbook.book.units import show_duration
from opsbook.errors import OpsbookError

log = logging.getLogger(__name__)

AGAIN_EVERY = 600.0
"""Seconds after which an outage that goes on is told again."""
AFTERMATH = 15.0
"""Seconds after the end of one in which what failed may have begun before it: an attempt to connect lasts as long."""


class Outage:
    """Whether the store is gone, as this process has met it. Used on the event loop alone."""

    def __init__(self) -> None:
        self.since: float | None = None
        """By the steady clock; None while the store can be used."""
        self._told, self._over = 0.0, float("-inf")

    def met(self, error: OpsbookError) -> None:
        """Somebody could not use the store."""
        now = time.monotonic()
        if self.since is not None and now - self._told < AGAIN_EVERY:
            return
        if self.since is None and now - self._over < AFTERMATH:
            return
        self.since, self._told = self.since or now, now
        log.error("%s; nothing is decided or told until it can be used, and then it goes on by itself", error.message)

    def over(self) -> None:
        """Somebody has used it."""
        if self.since is not None:
            log.warning("the store can be used again, after %s", show_duration(round(time.monotonic() - self.since)))
            self.since, self._over = None, time.monotonic()
