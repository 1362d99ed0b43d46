"""A reading held against thresholds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.book.catalogue import ObservationSpec
from opsbook.book.checks import Check
from opsbook.book.units import Dimension
from opsbook.checks.evaluate import State, judge
from opsbook.connectors.contract import Failure, Reading
from opsbook.observations.registry import make_spec

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
LATENCY = make_spec("http.latency_p95", Dimension.DURATION, "http", "doc")
UP = make_spec("postgres.up", Dimension.STATE, "postgres", "doc", critical="is down", vital=True)


def a_check(**keys: object) -> Check:
    return Check.model_validate({"id": "c", "observe": "o", "of": "api", **keys})


def state(spec: ObservationSpec, value: object, baseline: float | None = None, **keys: object) -> State:
    return judge(a_check(**keys), spec, Reading("c", value), NOW, baseline).state  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.04, State.OK), (0.05, State.OK), (0.051, State.WARNING), (0.2, State.WARNING), (0.201, State.CRITICAL)],
)
def test_it_takes_the_worst_threshold_that_is_met(seconds: float, expected: State) -> None:
    assert state(LATENCY, seconds, warning="> 50ms", critical="> 200ms") is expected


def test_it_says_value_and_threshold_in_one_sentence() -> None:
    result = judge(a_check(critical="> 200ms"), LATENCY, Reading("c", 0.412), NOW)
    assert result.sentence == "412 ms is critical: > 200ms"
    assert result.threshold is not None and result.threshold.text == "> 200ms"


def test_it_takes_the_thresholds_of_the_observation_where_the_check_gives_none() -> None:
    assert state(UP, False) is State.CRITICAL
    assert state(UP, True) is State.OK


def test_thresholds_of_the_check_replace_those_of_the_observation() -> None:
    assert state(UP, False, warning="is down") is State.WARNING


@pytest.mark.parametrize("failure", list(Failure))
def test_a_reading_without_value_is_never_ok(failure: Failure) -> None:
    reading = Reading("c", None, failure=failure, message="why")
    for spec in (LATENCY, UP):
        result = judge(a_check(warning="> 1s"), spec, reading, NOW)
        assert result.state.bad
        assert result.sentence.endswith("why")


def test_a_vital_check_that_cannot_reach_its_component_is_critical_not_unknown() -> None:
    gone = Reading("c", None, failure=Failure.UNREACHABLE, message="connection refused")
    found = judge(a_check(), UP, gone, NOW)
    assert (found.state, found.value, found.shown) == (State.CRITICAL, False, "down")
    assert found.sentence == "down: connection refused"
    assert judge(a_check(critical="> 1s"), LATENCY, gone, NOW).state is State.UNKNOWN


def test_missing_data_counts_as_what_the_check_says() -> None:
    gone = Reading("c", None, failure=Failure.ABSENT, message="no run yet")
    assert judge(a_check(critical="> 1s", unknown="warning"), LATENCY, gone, NOW).state is State.WARNING


def test_it_holds_a_value_against_its_own_past() -> None:
    assert state(LATENCY, 0.4, 0.5, critical="< 50% of 7d") is State.OK
    assert state(LATENCY, 0.2, 0.5, critical="< 50% of 7d") is State.CRITICAL


def test_it_says_that_a_baseline_is_not_known_yet() -> None:
    result = judge(a_check(critical="< 50% of 7d"), LATENCY, Reading("c", 0.2), NOW)
    assert result.state is State.OK
    assert "not known yet" in result.sentence


@given(value=st.floats(allow_nan=False), low=st.integers(-1000, 1000), high=st.integers(-1000, 1000))
def test_outside_and_within_are_each_others_opposite(value: float, low: int, high: int) -> None:
    low, high = sorted((low, high))
    count = make_spec("x.count", Dimension.COUNT, "any", "doc")
    outside = state(count, value, critical=f"outside {low}..{high}")
    within = state(count, value, critical=f"within {low}..{high}")
    assert {outside, within} == {State.OK, State.CRITICAL}


def test_what_is_not_a_number_is_unknown() -> None:
    result = judge(a_check(critical="> 1s"), LATENCY, Reading("c", float("nan")), NOW)
    assert result.state is State.UNKNOWN
    assert result.value is None


def test_a_message_says_the_value_and_not_the_component_again() -> None:
    fine = judge(a_check(), LATENCY, Reading("c", 0.2, message="api: over 20 probes"), NOW)
    assert fine.sentence == "200 ms; over 20 probes"
    assert judge(a_check(), UP, Reading("c", True, message="PostgreSQL 17 answers"), NOW).sentence == (
        "PostgreSQL 17 answers"
    )


def test_what_a_server_says_cannot_steer_the_terminal() -> None:
    text = make_spec("x.text", Dimension.TEXT, "any", "doc")
    said = Reading("c", "a\x1b[2Jb", failure=None, message="first\r\n  second\x1b]0;title\x07\u202e")
    result = judge(a_check(), text, said, NOW)
    assert result.shown == "a?[2Jb"
    assert result.sentence == "a?[2Jb; first; second?]0;title??"
