"""Figures of a page in Prometheus' text format."""

from __future__ import annotations

import math

import pytest

from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.metrics_text import growth, parse, quantile

PAGE = """\
# TYPE http_requests_total counter
http_requests_total{status="200",path="/a"} 90
http_requests_total{status="500",path="/a"} 7
http_requests_total{status="503",path="/b"} 3
# TYPE temperature gauge
temperature NaN
"""


def test_counters_are_summed_over_the_labels_that_fit() -> None:
    page = parse(PAGE)
    assert page.total("http_requests_total", {}) == 100
    assert page.total("http_requests_total", {"status": "~5.."}) == 10
    assert page.total("http_requests_total", {"status": "~5", "path": "/a"}) is None, "it must fit as a whole"
    assert page.total("temperature", {}) is None


def test_a_metric_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(ReadFailed, match="did you mean http_requests_total"):
        parse(PAGE).of("http_request_total", {})


@pytest.mark.parametrize("page", ["<html>", "a one"])
def test_what_is_no_page_is_told(page: str) -> None:
    with pytest.raises(ReadFailed):
        parse(page).of("a", {})


BUCKETS = {0.1: 50.0, 0.5: 90.0, 1.0: 99.0, math.inf: 100.0}


@pytest.mark.parametrize(("rank", "value"), [(0.25, 0.05), (0.5, 0.1), (0.7, 0.3), (0.95, 0.7778), (0.999, 1.0)])
def test_quantiles_are_those_of_prometheus(rank: float, value: float) -> None:
    assert quantile(rank, BUCKETS) == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize("buckets", [{}, {math.inf: 5.0}, {0.1: 0.0, math.inf: 0.0}, {0.1: 1.0, 0.5: 2.0}])
def test_nothing_observed_has_no_quantile(buckets: dict[float, float]) -> None:
    assert quantile(0.5, buckets) is None


def test_a_counter_that_fell_is_not_negative_traffic() -> None:
    assert growth("x", 3, 5) == 2
    assert growth("x", None, 5) == 5
    with pytest.raises(ReadFailed, match="was restarted"):
        growth("x", 5, 3)
