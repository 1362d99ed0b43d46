"""Taking turns. Who may use the cluster that is given: tests beside each other, and now and then one alone.

Groups of tests run in processes of their own. One that drains a node would take the pods of all others away, so it
waits until they have none. Whoever comes after it waits in line behind it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_CLUSTER = f"{zlib.crc32(os.environ.get('KUBECONFIG', '').encode()):08x}"
LONGEST_WAIT = 3600.0
"""Seconds that a test may wait for its turn; whoever has it is ended by a time-out of its own."""
_users: list[str] = []
"""What of this process uses the cluster now."""
_shared = ExitStack()


def _file(name: str) -> Path:
    return Path(tempfile.gettempdir()) / f"opsbook-test-{name}-{os.geteuid()}-{_CLUSTER}"


@contextmanager
def uncounted(most: float) -> Iterator[None]:
    """What is done here does not count against the test's time-out: it may take `most` seconds of its own.

    A test's time-out is a timer of this process (pytest-timeout, by signal); where none runs, none is set.
    """
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    if not left:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, left + most)
    try:
        yield
    finally:
        now, _ = signal.getitimer(signal.ITIMER_REAL)
        # What this very timer has ended needs none any more.
        if now:
            signal.setitimer(signal.ITIMER_REAL, left)


@contextmanager
def _locked(name: str, how: int) -> Iterator[None]:
    with _file(name).open("a") as file:
        with uncounted(LONGEST_WAIT):
            fcntl.flock(file, how)
        try:
            yield
        finally:
            # Closing is not enough: a process that was forked meanwhile has the file open as well.
            fcntl.flock(file, fcntl.LOCK_UN)


@contextmanager
def one_by_one(what: str) -> Iterator[None]:
    """Nobody else does this meanwhile: what takes all cores for a while would take each too long beside itself."""
    with _locked(what, fcntl.LOCK_EX):
        yield


@contextmanager
def together(user: str) -> Iterator[None]:
    """Nobody is alone with the cluster meanwhile. A process that has it already does not wait in line again."""
    if not _users:
        with _locked("line", fcntl.LOCK_EX):
            _shared.enter_context(_locked("cluster", fcntl.LOCK_SH))
    _users.append(user)
    try:
        yield
    finally:
        _users.remove(user)
        if not _users:
            _shared.close()


@contextmanager
def alone() -> Iterator[None]:
    """Nobody else uses the cluster meanwhile."""
    assert not _users, f"a test cannot be alone while this process has {', '.join(_users)}"
    with _locked("line", fcntl.LOCK_EX), _locked("cluster", fcntl.LOCK_EX):
        yield
