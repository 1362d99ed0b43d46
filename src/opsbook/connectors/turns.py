"""Taking turns without being held up: who waits while nothing moves goes ahead after its patience.

Bounds bursts (500 connections opened in one instant, five for one server), while something that hangs in its turn
never keeps the others from theirs. A queue that moves is only long: waiting in it is right, however long it takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Places:
    """So many may work at once."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)
        self._moved = 0.0
        """When somebody last took or left a place, by the event loop's clock."""

    @asynccontextmanager
    async def turn(self, patience: float) -> AsyncIterator[None]:
        """A place; or none, once nobody has moved for `patience` seconds."""
        taken = await self._take(patience)
        try:
            yield
        finally:
            if taken:
                self._free.release()
                self._moved = asyncio.get_running_loop().time()

    async def _take(self, patience: float) -> bool:
        clock = asyncio.get_running_loop().time
        while True:
            try:
                if self._free.locked():
                    await asyncio.wait_for(self._free.acquire(), patience)
                else:
                    await self._free.acquire()
            except TimeoutError:
                if clock() - self._moved >= patience:
                    return False
            else:
                self._moved = clock()
                return True
