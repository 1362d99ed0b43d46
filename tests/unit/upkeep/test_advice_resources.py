"""Requests and limits from what was used: percentiles with room, and silence where too little was seen."""

from __future__ import annotations

import pytest

from opsbook.upkeep.advice.contract import MEBI
from opsbook.upkeep.advice.observed import DAY, Observed, percentile
from opsbook.upkeep.advice.resources import Given, Used, advise

WEEK = 8 * DAY


def seen(*values: float, seconds: float = WEEK, greatest: float | None = None) -> Observed:
    return Observed("api-use", values, greatest if greatest is not None else max(values), seconds)


CPU = seen(*(0.2,) * 95, *(1.0,) * 5, greatest=1.8)
MEMORY = seen(*(200.0 * MEBI,) * 100, greatest=300.0 * MEBI)


def test_a_request_is_what_suffices_nearly_always_and_a_limit_stands_above_the_most() -> None:
    found = advise("api", Used(2, CPU, MEMORY), Given())
    assert {one.name: one.advised for one in found.advice} == {
        "cpu_request": "100m", "memory_request": "110Mi", "memory_limit": "180Mi",
    }  # fmt: skip
    assert "cpu of an instance: 100m in 95 of 100 cases, 900m at most (100 values of `api-use` in 8" in found.told[0]
    assert all("Kubernetes" not in one.why and one.source.startswith("https://kubernetes.io") for one in found.advice)


def test_figures_that_fit_are_left_alone() -> None:
    fits = Given(0.1, 110.0 * MEBI, 2.0, 190.0 * MEBI)
    assert advise("api", Used(2, CPU, MEMORY), fits).advice == ()


def test_a_limit_at_which_it_was_throttled_is_raised() -> None:
    found = advise("api", Used(2, CPU, None), Given(cpu_request=0.1, cpu_limit=0.9))
    assert [(one.name, one.now, one.advised) for one in found.advice] == [("cpu_limit", "900m", "1350m")]


@pytest.mark.parametrize(
    ("observed", "sentence"),
    [
        (seen(*(0.2,) * 100, seconds=3600), "was observed for 1 h: too short to tell, 1 d are needed"),
        (seen(0.2, 0.3), "has 2 values: too few to tell, 50 are needed"),
    ],
)
def test_what_was_seen_too_shortly_is_said_and_not_judged(observed: Observed, sentence: str) -> None:
    found = advise("api", Used(1, observed, None), Given())
    assert found.advice == ()
    assert sentence in found.untold[0] and "workload.memory" in found.untold[1]


def test_a_week_that_was_not_seen_is_a_risk() -> None:
    found = advise("api", Used(1, seen(*(0.2,) * 100, seconds=2 * DAY), None), Given())
    assert found.advice[0].risk.endswith("a week's rhythm was not seen yet")


def test_percentiles_are_of_the_nearest_rank() -> None:
    assert [percentile(range(1, 101), share) for share in (0.5, 0.95, 1.0)] == [50, 95, 100]
    assert percentile([7.0], 0.95) == 7
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)
