"""Something that is done in a process of its own, which is killed before a touch of the outside that is counted."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

FILES = ("os.rename", "os.remove", "os.symlink", "os.mkdir")
"""Audit events of what changes a name in a folder: between two of them nothing is half there."""


def dies(act: Callable[[], object], before: int, touches: tuple[str, ...] = FILES) -> bool:
    """Do it, with SIGKILL before its touch of this number; whether it came so far."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0, "it failed by itself"
        return os.WIFSIGNALED(status)
    seen = 0

    def look(event: str, _: Any) -> None:
        nonlocal seen
        if event in touches:
            seen += 1
            if seen == before:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)
    try:
        act()
    except BaseException as error:
        os.write(2, f"{error!r}\n".encode())
        os._exit(1)
    os._exit(0)
