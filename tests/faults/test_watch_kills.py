"""A seeded sample of the kills of the watch; `make faults` does all of them, also on PostgreSQL."""

from __future__ import annotations

import os

import pytest

from tests.faults.watch_flapping import run
from tests.faults.watch_kills import sample, sweep
from tests.faults.watch_serving import serve_kills

SEED = int(os.environ.get("OPSBOOK_TEST_SEED", "3"))


@pytest.mark.timeout(300)
def test_a_killed_watch_loses_no_page_and_sends_at_most_one_twice() -> None:
    count = sweep(sample(4, SEED))
    print(f"kill sample of the watch with seed {SEED}: {count}")
    assert count.wrong == []
    assert count.kills >= 3


@pytest.mark.real
@pytest.mark.timeout(400)
@pytest.mark.parametrize("postgres", [False, True], ids=["one on a file", "two on PostgreSQL"])
def test_serving_processes_that_are_killed_lose_no_page(postgres: bool) -> None:
    count = serve_kills(2, SEED, postgres=postgres)
    assert count.wrong == []
    assert count.kills == 2


def test_checks_that_flap_are_told_of_and_keep_nobody_awake() -> None:
    assert run(30, 15).wrong == []
