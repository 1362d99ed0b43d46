"""Requests of fences and undos of operations, killed: a few of each; `make faults` does all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.faults.fence_kills import FenceBench
from tests.faults.kills import Count
from tests.faults.operation_kills import OperationKill, sweep_bench
from tests.faults.operations_elsewhere import FilesSite
from tests.faults.undo_kills import UndoBench

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


def at(*places: str) -> Callable[[Sequence[OperationKill]], list[OperationKill]]:
    """The first kill at each of these places."""

    def choose(kills: Sequence[OperationKill]) -> list[OperationKill]:
        return [next(kill for kill in kills if kill.faults[0].place == place) for place in places]

    return choose


def test_a_request_that_reads_is_made_again_and_one_that_changes_is_ambiguous(tmp_path: Path) -> None:
    reads, changes = Count(), Count()
    with FenceBench(tmp_path / "http") as bench:
        sweep_bench(bench, ["http-get"], reads, at("middle"))
        sweep_bench(bench, ["http-post"], changes, at("middle", "noted"))
    assert reads.wrong == changes.wrong == []
    assert (reads.kills, reads.resumed, reads.ambiguous) == (1, 1, 0)
    assert (changes.kills, changes.resumed, changes.ambiguous) == (2, 1, 1)


def test_a_run_that_is_killed_while_it_undoes_ends_undone(tmp_path: Path) -> None:
    count = Count()
    with UndoBench(FilesSite, tmp_path / "files") as bench:
        sweep_bench(bench, ["files.write"], count, at("before", "after", "noted"))
    assert count.wrong == [] and count.kills == 3
