"""A seeded sample of the kill sweep over the built-in operations; `make faults` does all of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from opsbook.operations.registry import operations
from tests.faults.operation_kills import LEFT_OUT, named, sample

SEED = int(os.environ.get("OPSBOOK_TEST_SEED", "3"))
TRIED = 5


def test_every_operation_is_in_the_sweep_or_left_out_with_a_reason() -> None:
    registered = {name for name in operations() if not name.startswith("test.")}
    known = set(named()) | set(LEFT_OUT)
    forgotten = sorted(registered - known)
    assert not forgotten, f"say in tests/faults/operation_kills.py how they are tried, or why not: {forgotten}"
    assert not set(named()) - registered, "the table names operations that there are not"
    assert not set(named()) & set(LEFT_OUT)
    assert all(len(reason) > 20 for reason in LEFT_OUT.values())


@pytest.mark.real
@pytest.mark.timeout(300)
def test_a_killed_operation_is_gone_on_with_and_does_nothing_twice(tmp_path: Path) -> None:
    count = sample(TRIED, SEED, tmp_path)
    print(f"kill sample of operations with seed {SEED}: {count}")
    assert count.wrong == []
    assert count.kills >= TRIED - 2
