"""Looks that are shared by all who ask at the same time."""

from __future__ import annotations

import asyncio

import pytest

from opsbook.connectors.runtimes.together import Together


async def test_those_who_ask_at_the_same_time_get_one_look() -> None:
    looks = 0

    async def look() -> int:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)
        return looks

    together = Together(look)
    assert await asyncio.gather(*(together() for _ in range(9))) == [1] * 9
    assert await together() == 2


async def test_nobody_gets_a_look_that_began_before_he_asked() -> None:
    state, go_on, began = "before", asyncio.Event(), asyncio.Event()

    async def look() -> str:
        seen = state
        began.set()
        await go_on.wait()
        return seen

    together = Together(look)
    first = asyncio.create_task(together())
    await began.wait()
    state = "after"
    later = [asyncio.create_task(together()) for _ in range(3)]
    go_on.set()
    assert await first == "before"
    assert await asyncio.gather(*later) == ["after"] * 3


async def test_a_look_that_fails_is_told_to_all_and_does_not_stay() -> None:
    answers = [OSError("away"), 7]

    async def look() -> int:
        said = answers.pop(0)
        if isinstance(said, OSError):
            raise said
        return said

    together = Together(look)
    assert [type(one) for one in await asyncio.gather(together(), together(), return_exceptions=True)] == [OSError] * 2
    assert await together() == 7


async def test_one_who_gives_up_takes_nothing_from_the_others() -> None:
    go_on = asyncio.Event()

    async def look() -> int:
        await go_on.wait()
        return 1

    together = Together(look)
    patient, hasty = asyncio.create_task(together()), asyncio.create_task(together())
    await asyncio.sleep(0)
    hasty.cancel()
    go_on.set()
    assert await patient == 1
    with pytest.raises(asyncio.CancelledError):
        await hasty
