"""Waiting for a state with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

from stack.errors import StackError

POLL_SECONDS = 0.05


def until(state: Callable[[], bool], seconds: float, what: str, hint: str = "") -> None:
    """Return as soon as `state` holds. Raises StackError naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not state():
        if time.monotonic() > deadline:
            raise StackError(f"{what} within {seconds:.0f} s", hint)
        time.sleep(POLL_SECONDS)
