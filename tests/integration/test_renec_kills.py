"""A seeded sample of the runbooks' kill sweep; `make faults` does all of it."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.faults.renec_kills import Rehearsed, some_faults, sweep
from tests.integration.conftest import Renec

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("renec"), pytest.mark.timeout(400)]
SEED = int(os.environ.get("OPSBOOK_TEST_SEED", "3"))
QUICK = ("clear-cache", "data-export", "trigger-daily-probe", "tune-redis")
"""Runbooks that take a few seconds."""
FAULTS = 3


def test_a_runbook_that_is_killed_goes_on_and_does_nothing_twice(ops: Path, renec: Renec, tmp_path: Path) -> None:
    rehearsed, dice = Rehearsed.open(ops, renec.env["DATABASE_SUPERUSER_URL"]), random.Random(SEED)
    # A task that must not be called twice, and one that changes with the seed.
    names = ["trigger-daily-probe", dice.choice([name for name in QUICK if name != "trigger-daily-probe"])]
    try:
        count = sweep(rehearsed, iter(names), tmp_path, some_faults(dice, FAULTS))
    finally:
        rehearsed.setting.close()
    print(f"kill sample of {' and '.join(names)} with seed {SEED}: {count}")
    assert count.wrong == []
    assert count.kills >= FAULTS
