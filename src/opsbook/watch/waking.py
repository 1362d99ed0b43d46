"""Waking the parts of the watch before their time: something was decided that should be sent at once.

Losing a call costs nothing but time: a part that nobody wakes comes by itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

_listening: set[Callable[[], None]] = set()
_guard = threading.Lock()


def wake() -> None:
    """Let every part of the watches of this process look at the store now. From any thread."""
    with _guard:
        calls = list(_listening)
    for call in calls:
        call()


class Bell:
    """What one loop waits at: rung by `wake`, from any thread, until it is closed."""

    def __init__(self) -> None:
        self.rings = 0
        """How often it was rung: who does something else meanwhile sees by it that it was."""
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Event] = set()
        with _guard:
            _listening.add(self._ring)

    def _ring(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._ring_here)
        except RuntimeError:  # its loop has ended
            self.close()

    def _ring_here(self) -> None:
        self.rings += 1
        for one in self._waiting:
            one.set()

    async def wait(self, seconds: float, heard: int | None = None) -> bool:
        """Wait so long at most; True where it was rung, also where it was since `heard` rings."""
        if heard is not None and self.rings != heard:
            return True
        rung = asyncio.Event()
        self._waiting.add(rung)
        try:
            async with asyncio.timeout(seconds):
                await rung.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(rung)
        return True

    def close(self) -> None:
        """Listen no more."""
        with _guard:
            _listening.discard(self._ring)
