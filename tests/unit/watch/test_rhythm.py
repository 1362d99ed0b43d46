"""When checks are due: once in a slot, spread, and the same after a restart."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.watch.watched import START

from opsbook.book.checks import Check
from opsbook.watch.rhythm import TOGETHER, is_due, lanes, next_slot, shifts, slot


def checks(count: int, of: str = "api") -> list[Check]:
    return [Check.model_validate({"id": f"c{n}", "observe": "http.up", "of": of}) for n in range(count)]


def test_many_checks_of_a_component_are_spread_and_a_few_stay_together() -> None:
    assert len(set(shifts(checks(TOGETHER)).values())) == 1
    found = Counter(shifts(checks(1_000)).values())
    assert len(found) > 30
    assert max(found.values()) < 3 * TOGETHER


@given(st.floats(0, 0.999), st.integers(1, 7200), st.integers(0, 100_000))
def test_the_next_slot_is_ahead_within_one_interval_and_begins_one_later(
    shift: float, seconds: int, after: int
) -> None:
    now, interval = START + timedelta(seconds=after), timedelta(seconds=seconds)
    following = next_slot(now, interval, shift)
    assert now < following <= now + interval
    assert slot(following, interval, shift) == slot(now, interval, shift) + 1


@given(st.floats(0, 0.999), st.integers(5, 600))
def test_asked_every_second_it_runs_once_in_each_interval(shift: float, seconds: int) -> None:
    interval, last, runs = timedelta(seconds=seconds), None, []
    for second in range(3 * seconds):
        now = START + timedelta(seconds=second)
        if is_due(last, now, interval, shift):
            runs.append(now)
            last = now
    assert len(runs) in (3, 4)
    assert all(later - earlier == interval for earlier, later in pairwise(runs[1:]))


def test_after_the_clock_was_set_back_it_is_due_at_once() -> None:
    assert is_due(START, START - timedelta(hours=1), timedelta(minutes=1), 0.3)


def test_components_that_share_a_connection_share_a_lane() -> None:
    found = lanes({"worker": ["broker"], "beat": ["broker"], "broker": [], "api": [], "x": ["nowhere"]})
    assert found["worker"] == found["beat"] == found["broker"]
    assert len(set(found.values())) == 3
