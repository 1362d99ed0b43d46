"""`make faults`: the whole kill sweep, with its counts. Exit code 1 where anything was stuck or happened twice."""

from __future__ import annotations

import asyncio
import sys
import time

from tests.faults.kills import all_kills, sweep


def main() -> int:
    started = time.monotonic()
    kills = all_kills()
    live = sys.stderr.isatty()
    count = asyncio.run(sweep(kills, (lambda text: print(text, file=sys.stderr)) if live else None))
    print(f"{len(kills)} places in {time.monotonic() - started:.0f} s: {count}")
    for line in count.wrong:
        print(line)
    return 1 if count.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
