"""A seeded sample of the kill sweep over rotations and renewals; `make faults` does all of it."""

from __future__ import annotations

import os
import random

import pytest

from tests.faults.secret_kills import SITES, secret_sweep

SEED = int(os.environ.get("OPSBOOK_TEST_SEED", "3"))
TRIED = 2


@pytest.mark.real
@pytest.mark.timeout(300)
@pytest.mark.xdist_group("acme")
@pytest.mark.parametrize("site", sorted(SITES))
def test_a_killed_renewal_leaves_what_serves_and_loses_no_secret(site: str) -> None:
    dice = random.Random(SEED)
    count = secret_sweep(site, print, lambda every: dice.sample(every, TRIED))
    print(f"kill sample of {site} with seed {SEED}: {count}")
    assert count.wrong == []
    assert count.kills >= TRIED
