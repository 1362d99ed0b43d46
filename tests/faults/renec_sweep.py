"""The runbooks of the example under the whole kill sweep, on two instances that take turns at the list of runbooks."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Lock

from tests.faults.kills import Count
from tests.faults.renec_kills import Rehearsed, sweep
from tests.integration.conftest import Renec, start_renec
from tests.integration.renec_book import beside

INSTANCES = 2
LONGEST_FIRST = ("emergency-database-maintenance", "api-outage", "data-quality", "deploy-version", "weekly-maintenance")


class Shared(Iterator[str]):
    """A list that several threads take from."""

    def __init__(self, names: list[str]) -> None:
        self.names, self.lock = names, Lock()

    def __next__(self) -> str:
        with self.lock:
            if not self.names:
                raise StopIteration
            return self.names.pop(0)


def renec_sweep(only: str, tell: Callable[[str], None]) -> Count:
    """Every runbook, or one."""
    folder = Path(tempfile.mkdtemp(prefix="opsbook-renec-kills-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        instances = []
        for number in range(1 if only else INSTANCES):
            # One after the other: each looks for free ports.
            renec = start_renec(folder / str(number) / "run")
            stack.callback(renec.run, "destroy")
            instances.append(renec)
        first = _open(instances[0], folder / "0")
        names = sorted(first.service.procedures(), key=lambda name: (name not in LONGEST_FIRST, name))
        shared = Shared([name for name in names if only in ("", name)])

        def lane(number: int) -> Count:
            rehearsed = first if number == 0 else _open(instances[number], folder / str(number))
            instances[number].must("harvest")
            try:
                return sweep(rehearsed, shared, folder / str(number) / "kills", tell=tell)
            finally:
                rehearsed.setting.close()

        with ThreadPoolExecutor(INSTANCES) as lanes:
            return sum(lanes.map(lane, range(len(instances))), Count())


def _open(renec: Renec, folder: Path) -> Rehearsed:
    return Rehearsed.open(beside(renec, folder), renec.env["DATABASE_SUPERUSER_URL"])
