"""A seeded sample of the kills of the watch; `make faults` does all of them."""

from __future__ import annotations

import os

import pytest

from tests.faults.watch_kills import sample, sweep

SEED = int(os.environ.get("OPSBOOK_TEST_SEED", "3"))


@pytest.mark.timeout(300)
def test_a_killed_watch_loses_no_page_and_sends_at_most_one_twice() -> None:
    count = sweep(sample(4, SEED))
    print(f"kill sample of the watch with seed {SEED}: {count}")
    assert count.wrong == []
    assert count.kills >= 3
