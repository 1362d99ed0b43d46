"""Waiting for a state inside an event loop."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable


async def eventually(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Returns once the condition, which may be awaited, holds; fails after the deadline."""
    async with asyncio.timeout(seconds):
        while not await _holds(condition):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def _holds(condition: Callable[[], object]) -> bool:
    found = condition()
    return bool(await found if inspect.isawaitable(found) else found)
