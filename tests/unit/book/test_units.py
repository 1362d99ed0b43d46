"""Values with units: what is written, what is meant, what is shown."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsbook.book.units import Dimension, parse_quantity, show, write_duration

NUMERIC = [d for d in Dimension if d not in (Dimension.STATE, Dimension.TEXT)]


@pytest.mark.parametrize(
    ("text", "value", "dimension"),
    [
        ("200ms", 0.2, Dimension.DURATION),
        ("1h30m", 5400, Dimension.DURATION),
        ("1 h 30 min", 5400, Dimension.DURATION),
        ("1mo", 30 * 86400, Dimension.DURATION),
        ("2y", 2 * 365 * 86400, Dimension.DURATION),
        ("80%", 0.8, Dimension.RATIO),
        ("0.1 %", 0.001, Dimension.RATIO),
        ("512MB", 512e6, Dimension.SIZE),
        ("4GiB", 4 * 1024**3, Dimension.SIZE),
        ("512Mi", 512 * 1024**2, Dimension.SIZE),
        ("80", 80, Dimension.COUNT),
        ("10,000", 10000, Dimension.COUNT),
        ("-5", -5, Dimension.COUNT),
        ("30/h", 30 / 3600, Dimension.RATE),
        ("5/s", 5, Dimension.RATE),
        ("10MB/s", 10e6, Dimension.THROUGHPUT),
        ("up", 1, Dimension.STATE),
        ("Down", 0, Dimension.STATE),
    ],
)
def test_it_reads_what_people_write(text: str, value: float, dimension: Dimension) -> None:
    quantity = parse_quantity(text)
    assert (quantity.value, quantity.dimension) == (pytest.approx(value), dimension)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "a value is missing"),
        ("fast", "is not a value with a unit"),
        ("5 parsecs", "'parsecs' in '5 parsecs' is not a unit; known are"),
        ("5mb", "did you mean 'MB'?"),
        ("512M", "did you mean 'MB'?"),
        ("5 minuts", "did you mean 'minutes'?"),
        ("5m 3MB", "mixes units"),
        ("5 5", "mixes units"),
        ("5/fortnight", "'fortnight' is not a time"),
        ("5s/s", "only counts and sizes"),
        ("1,00", "is not a value with a unit"),
        ("9" * 500, "is no quantity"),
    ],
)
def test_it_says_why_it_cannot_read(text: str, reason: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse_quantity(text)
    assert reason in str(raised.value)


@given(st.text(max_size=30))
def test_nonsense_is_refused_in_words(text: str) -> None:
    try:
        quantity = parse_quantity(text)
    except ValueError as error:
        assert str(error)
    else:
        assert math.isfinite(quantity.value)


@given(st.floats(min_value=1e-6, max_value=1e12), st.sampled_from(NUMERIC))
def test_what_is_shown_can_be_read_again(number: float, dimension: Dimension) -> None:
    shown = show(number, dimension)
    again = parse_quantity(shown)
    assert again.dimension is dimension
    # Three significant figures, or two units of time; bytes and rates a year apart have their own floor.
    slack = {Dimension.SIZE: 0.5, Dimension.THROUGHPUT: 0.5, Dimension.DURATION: 0.0}.get(dimension, 0.0)
    assert again.value == pytest.approx(number, rel=0.05, abs=slack + 1e-9)


@given(st.integers(min_value=0, max_value=10**15))
def test_a_written_duration_is_exact(microseconds: int) -> None:
    again = parse_quantity(write_duration(microseconds / 1e6)).value
    assert round(again * 1e6) == pytest.approx(microseconds, abs=max(1, microseconds * 1e-12))


@given(st.floats() | st.booleans() | st.text(max_size=5) | st.none(), st.sampled_from(list(Dimension)))
def test_anything_can_be_shown(value: float | bool | str | None, dimension: Dimension) -> None:
    assert isinstance(show(value, dimension), str)


@pytest.mark.parametrize(
    ("value", "dimension", "text"),
    [
        (0.43, Dimension.DURATION, "430 ms"),
        (250, Dimension.DURATION, "4 min 10 s"),
        (266400, Dimension.DURATION, "3 d 2 h"),
        (0.8, Dimension.RATIO, "80 %"),
        (1.5e9, Dimension.SIZE, "1.5 GB"),
        (12345, Dimension.COUNT, "12,345"),
        (0.99994, Dimension.DURATION, "1000 ms"),
        (30 / 3600, Dimension.RATE, "0.5/min"),
        (True, Dimension.STATE, "up"),
        (None, Dimension.COUNT, "–"),
        (1e-9, Dimension.RATIO, "0.0000001 %"),
    ],
)
def test_it_shows_what_people_read(value: float | None, dimension: Dimension, text: str) -> None:
    assert show(value, dimension).replace(",", "") == text.replace(",", "")
