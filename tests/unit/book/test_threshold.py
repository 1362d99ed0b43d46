"""Thresholds: which values are bad, and which thresholds cannot be held against which values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.book.threshold import Threshold
from opsbook.book.units import Dimension


@pytest.mark.parametrize(
    ("text", "bad", "good"),
    [
        ("> 200ms", 0.3, 0.2),
        (">= 200ms", 0.2, 0.1),
        ("< 20%", 0.1, 0.2),
        ("<= 20%", 0.2, 0.3),
        ("== 0", 0, 1),
        ("!= 3", 2, 3),
        ("is down", False, True),
        ("is up", True, False),
        ("outside 10..20", 21, 20),
        ("outside -5..5", -6, -5),
        ("within 10..20", 10, 9),
        ("outside 40..60%", 0.3, 0.4),
        ("within 1MB..2MB", 1.5e6, 3e6),
        ("> 5/s", 6, 5),
        ("== running", "running", "stopped"),
        ("!= 15.4", "15.5", "15.4"),
        ("!= 'up'", "down", "up"),
    ],
)
def test_it_tells_bad_from_good(text: str, bad: float | str, good: float | str) -> None:
    threshold = Threshold.parse(text)
    assert threshold.met_by(bad) is True
    assert threshold.met_by(good) is False


def test_a_baseline_is_unknown_until_there_is_a_past() -> None:
    threshold = Threshold.parse("< 50% of 7d")
    assert threshold.baseline == 7 * 86400
    assert threshold.met_by(10) is None
    assert threshold.met_by(10, baseline=30) is True
    assert threshold.met_by(20, baseline=30) is False
    assert str(threshold) == "< 50 % of 7 d"


def test_a_number_that_is_none_is_never_judged_good() -> None:
    for text in ("> 5", "< 5", "within 1..2", "outside 1..2", "== 1", "!= 1"):
        assert Threshold.parse(text).met_by(math.nan) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("200ms", 'write "> 200ms" or "< 200ms"'),
        ("", "is not a threshold; write"),
        ("more than 5", "is not a threshold; write"),
        (">", "is not a threshold; write"),
        ("> fast", "is not a threshold; write"),
        ("> 5 parsecs", "is not a unit"),
        ("outside 20..10", "lower end is above"),
        ("outside 10ms..20MB", "same unit"),
        ("within up..down", "states have no range"),
        ("< 5 of 7d", 'written "< 50% of 7d"'),
        ("< 50% of 0d", "are positive"),
    ],
)
def test_it_says_why_it_is_none(text: str, reason: str) -> None:
    with pytest.raises(ValueError) as raised:
        Threshold.parse(text)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("text", "dimension", "reason"),
    [
        ("> 10MB", Dimension.DURATION, "is a size, but this observation yields a duration"),
        ("> 10", Dimension.RATIO, "is a count, but this observation yields a ratio"),
        ("> up", Dimension.STATE, 'write "is down" or "is up"'),
        ("== broken", Dimension.STATE, "has no unit that fits"),
        ("> 5", Dimension.TEXT, "== or !="),
        ("< 50% of 7d", Dimension.STATE, "a baseline needs numbers"),
        ("< 50% of 7d", Dimension.TEXT, "a baseline needs numbers"),
        ("> 200ms", Dimension.DURATION, None),
        ("< 50% of 7d", Dimension.DURATION, None),
        ("is down", Dimension.STATE, None),
        ("!= 15", Dimension.TEXT, None),
    ],
)
def test_it_says_what_it_does_not_fit(text: str, dimension: Dimension, reason: str | None) -> None:
    said = Threshold.parse(text).misfit(dimension)
    assert (said is None) == (reason is None)
    assert reason is None or reason in str(said)


NUMBERS = st.integers(-1000, 1000)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_outside_is_the_opposite_of_within(one: int, other: int, value: int) -> None:
    low, high = sorted((one, other))
    outside, within = Threshold.parse(f"outside {low}..{high}"), Threshold.parse(f"within {low}..{high}")
    assert outside.met_by(value) is not within.met_by(value)


@given(st.sampled_from([(">", "<="), ("<", ">="), ("==", "!=")]), NUMBERS, NUMBERS)
def test_operators_and_their_opposites_divide_all_values(pair: tuple[str, str], limit: int, value: int) -> None:
    one, other = (Threshold.parse(f"{operator} {limit}") for operator in pair)
    assert one.met_by(value) is not other.met_by(value)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_warning_that_does_not_contradict_is_met_wherever_critical_is(warn: int, crit: int, value: int) -> None:
    warning, critical = Threshold.parse(f"> {warn}"), Threshold.parse(f"> {crit}")
    if not warning.contradicts(critical) and critical.met_by(value):
        assert warning.met_by(value)


@given(st.text(max_size=20))
def test_nonsense_is_refused_in_words(text: str) -> None:
    try:
        threshold = Threshold.parse(text)
    except ValueError as error:
        assert str(error)
    else:
        for dimension in Dimension:
            threshold.misfit(dimension)
        assert str(threshold)
