"""A seeded sample of the runbooks' kill sweep; `make faults` does all of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.renec_kills import Rehearsed, RunbookKill, sample, sweep
from tests.integration.conftest import Renec

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("renec"), pytest.mark.timeout(400)]
SEED = int(os.environ.get("OPSBOOK_TEST_SEED", "3"))
ALWAYS = [RunbookKill("trigger-daily-probe", "probe/0:middle"), RunbookKill("data-export", "bundle/0:middle")]
"""A task that must not be called twice, and a command in a workload that must not be left running."""


def test_a_runbook_that_is_killed_goes_on_and_does_nothing_twice(ops: Path, renec: Renec, tmp_path: Path) -> None:
    rehearsed = Rehearsed.open(ops, renec.env["DATABASE_SUPERUSER_URL"])
    try:
        count = sweep(rehearsed, [*ALWAYS, *sample(rehearsed, 2, SEED)], tmp_path)
    finally:
        rehearsed.setting.close()
    print(f"kill sample of runbooks with seed {SEED}: {count}")
    assert count.wrong == []
    assert count.kills >= 3
