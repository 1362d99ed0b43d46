"""A seeded sample of the kill sweep over the engine's steps; `make faults` does all of it."""

from __future__ import annotations

import os

import pytest

from tests.faults.kills import sample, sweep

SEED = int(os.environ.get("OPSBOOK_TEST_SEED", "3"))


@pytest.mark.timeout(300)
async def test_a_killed_engine_goes_on_and_does_nothing_twice() -> None:
    count = await sweep(sample(8, SEED))
    print(f"kill sample of the engine's steps with seed {SEED}: {count}")
    assert count.wrong == []
    assert count.kills >= 4
