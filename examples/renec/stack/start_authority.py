"""`python -m stack.start_authority ROOTS_URL CA_FILE TRUSTED_FILE PEBBLE ARGUMENT…`: becomes pebble.

A child waits until it answers, and adds its root, which is new at each start, to those that are trusted.
"""

from __future__ import annotations

import os
import ssl
import sys
import time
import urllib.request
from pathlib import Path

from stack.authority import trust

PATIENCE_SECONDS = 30
QUICK = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
"""It plays a slow and forgetful authority otherwise."""


def learn(url: str, authority: str, trusted: str) -> None:
    """Ask for the root until it is told."""
    context = ssl.create_default_context(cafile=authority)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=3, context=context) as answer:
                trust(Path(trusted), answer.read().decode())
                return
        except OSError:
            time.sleep(0.1)


def main() -> None:
    """Fork, learn in the child, be pebble in this process."""
    url, authority, trusted, *argv = sys.argv[1:]
    if os.fork() == 0:
        learn(url, authority, trusted)
        os._exit(0)
    os.execve(argv[0], argv, {**os.environ, **QUICK})


if __name__ == "__main__":
    main()
