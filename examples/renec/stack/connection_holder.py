"""Takes connections to the database until about 92 % of what the server allows are used, and keeps it there.

The address is in HOLD_URL. Prints how many it holds once it does, then works on until SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
import time

import psycopg

SHARE = 0.92
LOOK_AGAIN_SECONDS = 1.0
USED = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"


def main() -> None:
    """Others come and go: what they take is given back, what they leave is taken."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    url = os.environ["HOLD_URL"]
    watcher = psycopg.connect(url, autocommit=True, application_name="connections-exhausted")
    limit = int(watcher.execute("SHOW max_connections").fetchone()[0])  # type: ignore[index]
    held: list[psycopg.Connection] = []
    said = False
    while True:
        used: int = watcher.execute(USED).fetchone()[0]  # type: ignore[index]
        for _ in range(int(limit * SHARE) - used):
            try:
                held.append(psycopg.connect(url, application_name="connections-exhausted"))
            except psycopg.OperationalError as error:
                print(f"no more: {error}", file=sys.stderr)
                break
        for _ in range(min(len(held), used - int(limit * SHARE))):
            held.pop().close()
        if not said:
            print(len(held), flush=True)
            said = True
        time.sleep(LOOK_AGAIN_SECONDS)


if __name__ == "__main__":
    main()
