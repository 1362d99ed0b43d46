"""A seeded sample of the sweep over killed failovers; `make faults` does all of it."""

from __future__ import annotations

import os
import random

import pytest

from tests.faults.failover_kills import all_kills, sweep
from tests.integration.failing_over import failing_pair

SEED = int(os.environ.get("OPSBOOK_TEST_SEED", "3"))
pytestmark = pytest.mark.real


@pytest.mark.timeout(400)
def test_a_killed_failover_goes_on_and_ends_with_one_primary() -> None:
    kills = all_kills(SEED)
    chosen = random.Random(SEED).sample([kill for kill in kills if not kill.rebuild], 1)
    chosen += random.Random(SEED).sample([kill for kill in kills if kill.rebuild], 1)
    with failing_pair() as pair:
        told = sweep(pair, chosen)
    print(f"kills with seed {SEED}: {told}")
    assert told.wrong == []
    assert told.kills == len(chosen)
