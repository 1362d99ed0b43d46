"""Waiting for a state inside an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def eventually(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Returns once the condition holds; fails after the deadline."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while not condition():
        assert clock() < deadline, f"not within {seconds:g} s"
        await asyncio.sleep(0.02)
