"""What is said of a change whose outcome is not known: always a sentence."""

from __future__ import annotations

import asyncio

import pytest

from opsbook.engine.apply import Applied, _judged, told_of


def judged(error: BaseException) -> Applied:
    async def work() -> Applied:
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        future.set_exception(error)
        return _judged(future, 3.0)  # type: ignore[arg-type]

    return asyncio.run(work())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError(), "it did not end within 3 s; it was ended"),
        (OSError(28, "No space left on device", "/x"), "/x: No space left on device"),
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
        (ValueError("odd"), "ValueError: odd"),
        (ValueError(), "ValueError, without a word"),
    ],
)
def test_what_went_wrong_is_a_sentence(error: BaseException, expected: str) -> None:
    assert judged(error) == Applied(None, message=expected)
    if not isinstance(error, TimeoutError):
        assert told_of(error) == expected
