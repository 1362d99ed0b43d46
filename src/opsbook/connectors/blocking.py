"""Calls that may hang in the operating system: a name lookup, a look at a network disk, a walk through a large folder.

Each runs on a thread of its own that never keeps the process from ending. While a call for a key is under way, the next
asker shares its answer, so that a disk that hangs costs one thread, not one more each minute.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

_under_way: dict[tuple[asyncio.AbstractEventLoop, Hashable], asyncio.Future[Any]] = {}


async def on_thread(key: Hashable, function: Callable[..., T], *arguments: Any) -> T:
    """What the function returns or raises. Cancelling leaves the thread to itself."""
    loop = asyncio.get_running_loop()
    place = (loop, key)
    future = _under_way.get(place)
    if future is None:
        future = _under_way[place] = loop.create_future()
        future.add_done_callback(lambda done: _finished(place, done))
        thread = threading.Thread(target=_call, args=(loop, future, function, arguments), daemon=True)
        thread.start()
    found: T = await asyncio.shield(future)
    return found


def _call(
    loop: asyncio.AbstractEventLoop,
    future: asyncio.Future[Any],
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    try:
        result, error = function(*arguments), None
    except Exception as raised:  # the edge of a thread: handed to whoever waits
        result, error = None, raised
    try:
        loop.call_soon_threadsafe(_settle, future, result, error)
    except RuntimeError:
        return  # the loop has ended meanwhile; nobody waits


def _settle(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _finished(place: tuple[asyncio.AbstractEventLoop, Hashable], future: asyncio.Future[Any]) -> None:
    _under_way.pop(place, None)
    if not future.cancelled():
        future.exception()  # looked at, so that nothing is logged where everybody has stopped waiting
