"""A seeded sample of the kill sweep; `make faults` does all of it."""

from __future__ import annotations

import os

from tests.faults.kills import sample, sweep

SEED = int(os.environ.get("OPSBOOK_TEST_SEED", "3"))


async def test_a_killed_engine_goes_on_and_does_nothing_twice() -> None:
    count = await sweep(sample(8, SEED))
    print(f"kill sample with seed {SEED}: {count}")
    assert count.wrong == []
    assert count.kills >= 4
