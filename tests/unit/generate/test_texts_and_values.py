"""What Prometheus makes of values in texts, and what expressions yield of even input."""

from __future__ import annotations

import pytest

from opsbook.book.units import Dimension
from opsbook.watch.generate.arithmetic import Beyond, parsed, series_of, value_of
from opsbook.watch.generate.templates import filled_in


@pytest.mark.parametrize(
    ("dimension", "value", "text"),
    [
        (Dimension.DURATION, 0.25, "250ms"),
        (Dimension.DURATION, 12.5, "12.5s"),
        (Dimension.DURATION, 125, "2m 5s"),
        (Dimension.DURATION, 3661, "1h 1m 1s"),
        (Dimension.DURATION, 90061, "1d 1h 1m 1s"),
        (Dimension.DURATION, 0, "0s"),
        (Dimension.SIZE, 1536, "1.5kiB"),
        (Dimension.SIZE, 1, "1B"),
        (Dimension.RATIO, 0.1234567, "12.35%"),
        (Dimension.COUNT, 12345, "12.35k"),
        (Dimension.COUNT, 0.05, "50m"),
        (Dimension.RATE, 5, "5/s"),
        (Dimension.THROUGHPUT, 3 * 1024**2, "3MiB/s"),
    ],
)
def test_values_read_as_in_alerts(dimension: Dimension, value: float, text: str) -> None:
    assert filled_in(dimension, value) == text


def test_a_share_of_a_counter_is_found_from_the_series_that_its_selectors_choose() -> None:
    tree = parsed('(sum(rate(r{status=~"5.."}[1m])) or vector(0)) / sum(rate(r[1m]))')
    errors, rest = series_of(tree)
    assert dict(errors.labels) == {"status": "500"}
    assert value_of(tree, {errors: 1.0, rest: 3.0}) == ((), 0.25)


@pytest.mark.parametrize(
    ("expression", "amount", "value"),
    [
        ("2 * jobs + 1", 3.0, 7.0),
        ("increase(jobs[5m])", 2.0, 600.0),
        ("max(jobs) or vector(9)", 4.0, 4.0),
        ("jobs > 5 or vector(0)", 4.0, 0.0),
        ("count(jobs == 4)", 4.0, 1.0),
        ("vector(7)", 0.0, 7.0),
    ],
)
def test_it_computes(expression: str, amount: float, value: float) -> None:
    tree = parsed(expression)
    found = value_of(tree, dict.fromkeys(series_of(tree), amount))
    assert found is not None
    assert found[1] == value


@pytest.mark.parametrize(
    "expression", ["a offset 5m", "sum by (x) (a)", "time() - a", "topk(1, a)", "a{b=~'[0-9]+'}", "a +"]
)
def test_what_it_does_not_understand_it_says(expression: str) -> None:
    with pytest.raises(Beyond):
        tree = parsed(expression)
        value_of(tree, dict.fromkeys(series_of(tree), 1.0))
