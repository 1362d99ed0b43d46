"""`make faults`: every kill sweep, with its counts. Exit code 1 where anything was stuck or happened twice.

`python -m tests.faults.sweep engine operations pgbackrest`: what is swept; all of it where nothing is named.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults import kills, operation_kills
from tests.faults.deploy_kills import deploy_sweep
from tests.faults.failover_kills import failover_sweep
from tests.faults.fence_kills import FenceBench
from tests.faults.kills import Count
from tests.faults.operations_redis import CelerySite
from tests.faults.pgbackrest_sweep import pgbackrest_sweep
from tests.faults.recovery_sweep import Swept, losses_sweep, recovery_sweep
from tests.faults.renec_sweep import renec_sweep
from tests.faults.secret_kills import secret_sweep
from tests.faults.sites import Site
from tests.faults.undo_kills import UNDOING, UndoBench
from tests.faults.watch_flapping import flapping_sweep
from tests.faults.watch_kills import watch_sweep
from tests.faults.watch_serving import serving_sweep

Tell = Callable[[str], None]


def engine(only: str, tell: Tell) -> Count:
    """The engine's own steps, on operations that were made for it."""
    chosen = [kill for kill in kills.all_kills() if only in ("", kill.scenario)]
    with ThreadPoolExecutor(2) as lanes:
        halves = lanes.map(lambda half: asyncio.run(kills.sweep(half, tell)), (chosen[::2], chosen[1::2]))
        return sum(halves, Count())


def operations(only: str, tell: Tell) -> Count:
    """Every built-in operation, on real servers; those of Celery, which wait for workers, beside all others."""
    folder = Path(tempfile.mkdtemp(prefix="opsbook-operations-"))

    def lane(kinds: list[type[Site]]) -> Count:
        count = Count()
        for kind in kinds:
            names = [name for name in operation_kills.SITES[kind] if only in ("", name)]
            if names:
                operation_kills.sweep_site(kind, names, folder / kind.__name__, count, lambda every: every, tell)
        return count

    others = [kind for kind in operation_kills.SITES if kind is not CelerySite]
    try:
        with ThreadPoolExecutor(2) as lanes:
            return sum(lanes.map(lane, ([CelerySite], others)), Count())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fences(only: str, tell: Tell) -> Count:
    """Requests of `http` fences."""
    folder, count = Path(tempfile.mkdtemp(prefix="opsbook-fences-")), Count()
    try:
        with FenceBench(folder / "http") as bench:
            names = [name for name in bench.cases if only in ("", name)]
            operation_kills.sweep_bench(bench, names, count, lambda every: every, tell)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return count


def undoing(only: str, tell: Tell) -> Count:
    """What operations did, being taken back."""
    folder, count = Path(tempfile.mkdtemp(prefix="opsbook-undoing-")), Count()
    try:
        for kind, cases in UNDOING.items():
            names = [name for name in cases if only in ("", name)]
            if names:
                with UndoBench(kind, folder / kind.__name__) as bench:
                    operation_kills.sweep_bench(bench, names, count, lambda every: every, tell)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return count


SWEEPS: dict[str, Callable[[str, Tell], Count | Swept]] = {
    "engine": engine,
    "operations": operations,
    "fences": fences,
    "undo": undoing,
    "runbooks": renec_sweep,
    "recovery": recovery_sweep,
    "losses": losses_sweep,
    "failover": failover_sweep,
    "pgbackrest": pgbackrest_sweep,
    "watch": watch_sweep,
    "serving": serving_sweep,
    "flapping": flapping_sweep,
    "secrets": secret_sweep,
    "deploys": deploy_sweep,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sweeps", nargs="*", choices=[*SWEEPS, []], help="what is swept")
    parser.add_argument("--only", default="", help="one scenario, operation or runbook; of deploys good/0-4")
    parser.add_argument("--tell", action="store_true", help="tell each kill")
    given = parser.parse_args()
    live = given.tell or sys.stderr.isatty()
    bad = False
    for name in given.sweeps or SWEEPS:
        started = time.monotonic()
        count = SWEEPS[name](given.only, lambda text: print(text, file=sys.stderr, flush=True) if live else None)
        print(f"{name}: {count} ({time.monotonic() - started:.0f} s)", flush=True)
        for line in count.wrong:
            print(line, flush=True)
        bad = bad or bool(count.wrong)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
