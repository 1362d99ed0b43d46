"""Taking turns without being held up: who waits longer than its patience goes ahead anyway.

Bounds bursts (500 connections opened in one instant, five for one server), while something that hangs in its turn
never keeps the others from theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def turn(places: asyncio.Semaphore, patience: float) -> AsyncIterator[None]:
    """A place among those that may work at once, or the place of somebody who takes too long."""
    if not places.locked():
        await places.acquire()
        taken = True
    else:
        try:
            async with asyncio.timeout(patience):
                taken = await places.acquire()
        except TimeoutError:
            taken = False
    try:
        yield
    finally:
        if taken:
            places.release()
