"""The parent of a command: run as a program of its own, with only Python's standard library.

It is the command's subreaper, so that children which fork twice stay below it, and the kernel tells it when the process
that started it dies (PR_SET_PDEATHSIG, prctl(2)): then it kills everything below it. A signal of that kind set on the
command itself would end only the shell, not what the shell runs; and setting it between fork and exec of a process with
threads is not safe. SIGTERM is left to the command: the guardian ends when the command has ended.

    python -I -S guardian.py PARENT_PID PROGRAM [ARGUMENT …]
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
ORPHANED, NOT_FOUND, NOT_EXECUTABLE = 125, 127, 126
SWEEP_SECONDS = 5.0


def main(parent: int, argv: list[str]) -> int:
    """Run the command and answer with its exit code; 128 and the signal where one ended it, as shells do."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, _parent_died)
    system = ctypes.CDLL(None, use_errno=True)
    system.prctl(PR_SET_PDEATHSIG, int(signal.SIGUSR1), 0, 0, 0)
    system.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if os.getppid() != parent:
        return ORPHANED
    child = os.fork()
    if child == 0:
        _become(argv)
    while True:
        pid, status = os.wait()
        if pid == child:
            return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _become(argv: list[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)  # noqa: S606  an argv, never a shell
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        os._exit(NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE)


def _parent_died(_number: int, _frame: object) -> None:
    """Kill what is below until nothing is: a child may fork while this looks."""
    deadline = time.monotonic() + SWEEP_SECONDS
    while (below := _descendants(os.getpid())) and time.monotonic() < deadline:
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        while _reaped():
            pass
        time.sleep(0.01)
    os._exit(128 + signal.SIGKILL)


def _reaped() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            except (OSError, ValueError):
                continue
            if state != "Z":
                children.setdefault(int(parent), []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found.append(child)
            waiting.append(child)
    return found


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
