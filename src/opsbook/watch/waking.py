"""Waking the parts of the watch before their time: something was decided that should be sent at once.

Losing a call costs nothing but time: a part that nobody wakes comes by itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable

TELLING = ("messages", "incidents", "checklists", "diagnostics")
"""The parts that an alert or an incident brings work, the most urgent first: who is paged waits for nothing else."""

_listening: set[Callable[[tuple[str, ...]], None]] = set()
_guard = threading.Lock()


def wake(*parts: str) -> None:
    """Let these parts of the watches of this process look at the store now; all where none is named. From any
    thread."""
    with _guard:
        calls = list(_listening)
    for call in calls:
        call(parts)


class Bell:
    """What one loop waits at: rung by `wake`, from any thread, until it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._all = 0
        self._rings: Counter[str] = Counter()
        self._waiting: dict[asyncio.Event, str] = {}
        with _guard:
            _listening.add(self._ring)

    def rings(self, part: str = "") -> int:
        """How often it was rung for a part: who does something else meanwhile sees by it that it was."""
        return self._all + self._rings[part]

    def _ring(self, parts: tuple[str, ...]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._ring_here, parts)
        except RuntimeError:  # its loop has ended
            self.close()

    def _ring_here(self, parts: tuple[str, ...]) -> None:
        if parts:
            self._rings.update(parts)
        else:
            self._all += 1
        called = [one for one in self._waiting.items() if not parts or one[1] in parts]
        # They go on in the order in which they are called.
        for event, _ in sorted(called, key=lambda one: _rank(one[1])):
            event.set()

    async def wait(self, seconds: float, heard: int | None = None, part: str = "") -> bool:
        """Wait so long at most; True where it was rung for this part, also where it was since `heard` rings."""
        if heard is not None and self.rings(part) != heard:
            return True
        rung = asyncio.Event()
        self._waiting[rung] = part
        try:
            async with asyncio.timeout(seconds):
                await rung.wait()
        except TimeoutError:
            return False
        finally:
            del self._waiting[rung]
        return True

    def close(self) -> None:
        """Listen no more."""
        with _guard:
            _listening.discard(self._ring)


def _rank(part: str) -> int:
    return TELLING.index(part) if part in TELLING else len(TELLING)
