"""Finds the store being read or written on an event loop, where everything else of the process waits for its disk."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from sqlalchemy import Engine, event


@contextmanager
def nothing_blocks_the_loop() -> Iterator[list[str]]:
    """The places of the product that ask the store from a coroutine meanwhile; those of a test do not count."""
    found: list[str] = []

    def begun(_connection: Any) -> None:
        if (place := _coroutine_of_the_product()) is not None:
            found.append(place)

    event.listen(Engine, "begin", begun)
    try:
        yield found
    finally:
        event.remove(Engine, "begin", begun)


def _coroutine_of_the_product() -> str | None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return None
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_flags & inspect.CO_COROUTINE:
            name = frame.f_code.co_filename
            ours = "/opsbook/" in name and "/tests/" not in name
            return f"{name.rpartition('/opsbook/')[2]}:{frame.f_lineno} {frame.f_code.co_qualname}" if ours else None
        frame = frame.f_back
    return None
