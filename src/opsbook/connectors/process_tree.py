"""The processes that carry a key: found by their environment and their parents, ended as a whole."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

KEY = "OPSBOOK_KEY"
"""The environment variable that marks what a change has started, also after opsbook itself was killed."""
GRACE_SECONDS = 3.0
"""Between the request to end and the end by force."""
FORCE_SECONDS = 5.0
LOOK_SECONDS = 0.05


def carriers(key: str) -> set[int]:
    """The living processes whose environment has the key, and all below them."""
    mark = f"{KEY}={key}".encode()
    found: set[int] = set()
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        try:
            state, parent = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state == "Z":
                continue
            children.setdefault(int(parent), []).append(pid)
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.add(pid)
        except (OSError, ValueError):
            continue  # it has ended, or is another user's
    waiting = list(found)
    while waiting:
        for child in children.get(waiting.pop(), []):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found - {os.getpid()}


async def end_tree(key: str, grace: float = GRACE_SECONDS) -> bool:
    """Ask everything that carries the key to end, then end it by force. True when nothing of it runs any more."""
    loop = asyncio.get_running_loop()
    asked: set[int] = set()
    deadline = loop.time() + grace
    while living := carriers(key):
        if loop.time() >= deadline:
            break
        _signal(living - asked, signal.SIGTERM)
        asked |= living
        await asyncio.sleep(LOOK_SECONDS)
    deadline = loop.time() + FORCE_SECONDS
    # What is found may fork before the signal reaches it: look again until nothing is left.
    while living := carriers(key) | _alive(asked if living else set()):
        _signal(living, signal.SIGKILL)
        asked |= living
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(LOOK_SECONDS)
    return True


def _alive(pids: set[int]) -> set[int]:
    """Those that live still: a process may have left the key and its parents since it was found."""
    living = set()
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z":
                living.add(pid)
        except (OSError, IndexError):
            continue
    return living


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            continue  # it has ended, or is another user's
