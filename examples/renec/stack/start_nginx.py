"""`python -m stack.start_nginx PID_FILE NGINX ARGUMENT…`: becomes nginx, once nobody is left who holds its ports.

The workers of a master that was killed go on listening, and the next master could not bind.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from stack.orphans import first_number, leaderless

PATIENCE_SECONDS = 3


def main() -> None:
    """End the workers of the master that the pid file names if it is dead, then run nginx in this process."""
    old = first_number(Path(sys.argv[1]))
    orphans = leaderless(old) if old else []
    for worker in orphans:
        with suppress(psutil.Error):
            worker.terminate()
    _, stubborn = psutil.wait_procs(orphans, timeout=PATIENCE_SECONDS)
    for worker in stubborn:
        with suppress(psutil.Error):
            worker.kill()
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
