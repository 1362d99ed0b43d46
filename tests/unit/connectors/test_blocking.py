"""Calls that hang cost one thread and hold nobody up."""

from __future__ import annotations

import asyncio
import threading

import pytest

from opsbook.connectors.blocking import on_thread
from opsbook.connectors.turns import Places


async def test_a_call_that_hangs_is_shared_by_all_who_ask() -> None:
    release, calls = threading.Event(), []

    def look() -> int:
        calls.append(1)
        release.wait(10)
        return 7

    async def ask() -> int:
        return await on_thread("disk", look)

    for _ in range(5):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(), 0.02)
    assert len(calls) == 1
    waiting = asyncio.create_task(ask())
    await asyncio.sleep(0)
    release.set()
    assert await waiting == 7


async def test_what_a_call_raises_reaches_who_asked() -> None:
    def fail() -> None:
        raise OSError(5, "gone")

    with pytest.raises(OSError, match="gone"):
        await on_thread("x", fail)


async def test_a_hung_turn_does_not_hold_up_the_next() -> None:
    places = Places(1)
    forever = asyncio.Event()

    async def hang() -> None:
        async with places.turn(0.01):
            await forever.wait()

    stuck = asyncio.create_task(hang())
    await asyncio.sleep(0)
    async with asyncio.timeout(2), places.turn(0.01):
        pass
    forever.set()
    await stuck


async def test_nobody_goes_ahead_in_a_queue_that_moves() -> None:
    places = Places(1)
    inside, most = 0, 0

    async def work() -> None:
        nonlocal inside, most
        async with places.turn(0.2):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.02)
            inside -= 1

    await asyncio.gather(*(work() for _ in range(30)))
    assert most == 1
