"""`python -m tests.faults.renec_sweep`: the runbooks of the example under the whole kill sweep, with its counts.

It sets an instance of its own up and destroys it. Exit code 1 where anything was stuck or happened twice.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.renec_kills import Rehearsed, all_kills, sweep
from tests.integration.conftest import start_renec
from tests.integration.renec_book import beside


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--procedure", default="", help="only this runbook")
    parser.add_argument("--sample", type=int, default=0, help="only so many places")
    parser.add_argument("--seed", type=int, default=3, help="which ones")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="opsbook-renec-kills-"))
    renec = start_renec(folder / "run")
    try:
        renec.must("harvest")
        rehearsed = Rehearsed.open(beside(renec, folder), renec.env["DATABASE_SUPERUSER_URL"])
        kills = all_kills(rehearsed, given.procedure)
        if given.sample:
            kills = random.Random(given.seed).sample(kills, min(given.sample, len(kills)))
        started = time.monotonic()
        count = sweep(rehearsed, kills, folder / "kills", lambda text: print(text, file=sys.stderr, flush=True))
    finally:
        renec.run("destroy")
    print(f"runbooks: {len(kills)} places in {time.monotonic() - started:.0f} s: {count}")
    for line in count.wrong:
        print(line)
    return 1 if count.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
