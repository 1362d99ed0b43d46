"""When something is full, from points that are not tidy."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.watch.watched import START

from opsbook.watch.trends import FEWEST, POINTS, line, outlook, thinned


def points(values: list[float], hours: float = 1) -> list[tuple[object, float]]:
    return [(START + timedelta(hours=n * hours), value) for n, value in enumerate(values)]


def test_a_line_is_found_through_noise_and_a_purge() -> None:
    luck = random.Random(1)
    values = [50 + n * 0.25 + luck.uniform(-1, 1) for n in range(240)]
    values[100:130] = [20.0] * 30
    found = line(points(values))  # type: ignore[arg-type]
    assert found is not None
    assert found.growth == pytest.approx(6, rel=0.05)


def test_it_tells_the_day_on_which_a_limit_is_reached() -> None:
    found = outlook(points([50 + n / 24 for n in range(240)]), 100)  # type: ignore[arg-type]
    assert found is not None
    assert found.full_at is not None
    newest = START + timedelta(hours=239)
    assert (found.full_at - newest) / timedelta(days=1) == pytest.approx(100 - found.now, rel=0.01)


@pytest.mark.parametrize(
    ("values", "limit", "rising", "full"),
    [
        ([5.0] * 30, 10, None, None),
        ([10.0 - n / 10 for n in range(30)], 20, True, None),
        ([30.0 - n for n in range(30)], 0, None, "soon"),
        ([12.0] * 30, 10, True, "now"),
        ([1.0] * (FEWEST - 1), 10, None, None),
    ],
)
def test_what_does_not_go_there_is_never_full(
    values: list[float], limit: float, rising: bool | None, full: str | None
) -> None:
    found = outlook(points(values), limit, rising=rising)  # type: ignore[arg-type]
    assert found is not None
    newest = START + timedelta(hours=len(values) - 1)
    assert (found.full_at is None) == (full is None)
    assert found.full == (full == "now")
    assert found.full_at is None or found.full_at >= newest


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60), st.floats(-1e9, 1e9))
def test_whatever_was_measured_the_end_is_never_in_the_past(values: list[float], limit: float) -> None:
    found = outlook(points(values), limit)  # type: ignore[arg-type]
    assert found is not None
    assert found.full_at is None or found.full_at >= START + timedelta(hours=len(values) - 1)


def test_thinning_keeps_the_ends() -> None:
    many = points([float(n) for n in range(1_000)])
    found = thinned(many, POINTS)  # type: ignore[arg-type]
    assert (len(found), found[0], found[-1]) == (POINTS, many[0], many[-1])
