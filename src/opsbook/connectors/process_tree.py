"""The processes that carry a key: found by their environment and their parents, ended as a whole."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

KEY = "OPSBOOK_KEY"
"""The environment variable that marks what a change has started, also after opsbook itself was killed."""
GRACE_SECONDS = 3.0
"""Between the request to end and the end by force."""
FORCE_SECONDS = 5.0
LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Seen:
    """One process, and no later one that gets its number."""

    pid: int
    began: str
    """When it was started, in ticks since the machine was (field 22 of /proc/PID/stat)."""


def carriers(key: str) -> set[int]:
    """The living processes whose environment has the key, and all below them."""
    return {one.pid for one in _carriers(key)}


async def end_tree(key: str, grace: float = GRACE_SECONDS) -> bool:
    """Ask everything that carries the key to end, then end it by force. True when nothing of it runs any more."""
    loop = asyncio.get_running_loop()
    asked: set[Seen] = set()
    deadline = loop.time() + grace
    while living := _carriers(key):
        if loop.time() >= deadline:
            break
        _signal(living - asked, signal.SIGTERM)
        asked |= living
        await asyncio.sleep(LOOK_SECONDS)
    deadline = loop.time() + FORCE_SECONDS
    # What is found may fork before the signal reaches it: look again until nothing is left.
    while living := _carriers(key) | (_alive(asked) if living else set()):
        _signal(living, signal.SIGKILL)
        asked |= living
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(LOOK_SECONDS)
    return True


def _carriers(key: str) -> set[Seen]:
    mark = f"{KEY}={key}".encode()
    found: set[Seen] = set()
    children: dict[int, list[Seen]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or (told := _stat(int(entry.name))) is None:
            continue
        one, parent = told
        children.setdefault(parent, []).append(one)
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.add(one)
        except OSError:
            continue  # it has ended, or is another user's
    waiting = list(found)
    while waiting:
        for child in children.get(waiting.pop().pid, []):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return {one for one in found if one.pid != os.getpid()}


def _stat(pid: int) -> tuple[Seen, int] | None:
    """A living process and its parent's number; None where there is none."""
    try:
        # The name of the program, in brackets, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if fields[0] == "Z" else (Seen(pid, fields[19]), int(fields[1]))
    except (OSError, IndexError, ValueError):
        return None


def _is(one: Seen) -> bool:
    told = _stat(one.pid)
    return told is not None and told[0] == one


def _alive(ones: set[Seen]) -> set[Seen]:
    """Those that live still: a process may have left the key and its parents since it was found."""
    return {one for one in ones if _is(one)}


def _signal(ones: set[Seen], number: signal.Signals) -> None:
    for one in ones:
        with suppress(OSError):  # it has ended, or is another user's
            _send(one, number)


def _send(one: Seen, number: signal.Signals) -> None:
    """The signal reaches the process that was seen, or nobody: its number may have been given to another one since."""
    try:
        held = os.pidfd_open(one.pid)
    except OSError as error:
        # Linux before 5.3, and sandboxes that forbid it.
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
        if _is(one):
            os.kill(one.pid, number)
        return
    try:
        if _is(one):
            signal.pidfd_send_signal(held, number)
    finally:
        os.close(held)
