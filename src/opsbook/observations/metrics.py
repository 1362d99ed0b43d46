"""Figures of an application's own metrics page, without a Prometheus in between.

What only grows is read twice, `over` seconds apart; with `over: 0s` it counts since the process was started.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from opsbook.book.catalogue import Cost, Parameters
from opsbook.book.units import Dimension
from opsbook.book.values import Duration
from opsbook.connectors.contract import Fact
from opsbook.connectors.http import HttpConnector
from opsbook.connectors.metrics_text import Metrics, aggregate, growth, parse, quantile
from opsbook.observations.http_service import HTTP
from opsbook.observations.registry import Absent, observation

LABELS_DOC = (
    "labels that its series must carry; a value that begins with ~ is a regular expression, e.g. {status: ~5..}"
)


class GaugeParameters(Parameters):
    """Which metric."""

    metric: str = Field(min_length=1, description="name of the metric")
    labels: dict[str, str] = Field({}, description=LABELS_DOC)
    take: Literal["sum", "max", "min", "avg"] = Field("sum", description="the value of several series")


class OverParameters(Parameters):
    """The time over which it is counted."""

    over: Duration = Field(timedelta(seconds=3), description="between two looks; 0s: since the process was started")


class RatioParameters(OverParameters):
    """Which share of which counter."""

    metric: str = Field(min_length=1, description="name of the counter")
    labels: dict[str, str] = Field({}, description=LABELS_DOC)
    whole: str = Field("", description="counter that it is a share of; the same one where left out")
    whole_labels: dict[str, str] = Field({}, description="labels of that counter's series")


class ErrorRatioParameters(OverParameters):
    """How the service counts its answers."""

    metric: str = Field("http_requests_total", description="counter of requests")
    label: str = Field("status", description="its label that holds the status")
    errors: str = Field("~5..", description="statuses that are errors; ~ begins a regular expression")
    labels: dict[str, str] = Field({}, description=LABELS_DOC)


class RateParameters(OverParameters):
    """Which counter."""

    metric: str = Field(min_length=1, description="name of the counter")
    labels: dict[str, str] = Field({}, description=LABELS_DOC)


class QuantileParameters(OverParameters):
    """Which histogram."""

    metric: str = Field(min_length=1, description="name of the histogram, without _bucket")
    labels: dict[str, str] = Field({}, description=LABELS_DOC)
    rank: float = Field(0.95, gt=0, lt=1, description="0.95 for the 95th percentile")


async def looks(http: HttpConnector, over: timedelta) -> tuple[Metrics | None, Metrics, float]:
    """The page before (None: since the start), the page now, and the seconds between them."""
    if not over:
        return None, parse(await http.metrics_page()), 0.0
    first, second, seconds = await http.metrics_twice(over.total_seconds())
    return parse(first), parse(second), seconds


def grown(before: Metrics | None, after: Metrics, name: str, labels: dict[str, str]) -> float:
    """How much a counter grew between two pages."""
    earlier = before.total(name, labels) if before and name in before.samples else None
    return growth(name, earlier, after.total(name, labels))


async def gauge(http: HttpConnector, said: GaugeParameters) -> Fact:
    """The value of a metric now."""
    found = parse(await http.metrics_page()).of(said.metric, said.labels)
    values = [value for _, value in found if value == value]
    if not values:
        raise Absent(f"no series of {said.metric} fits" if not found else f"{said.metric} is not a number (NaN)")
    return Fact(aggregate(values, said.take), {"series": len(values)})


for _name, _dimension, _doc in (
    ("metrics.gauge", Dimension.COUNT, "A number of the service's own metrics."),
    ("metrics.size", Dimension.SIZE, "A number of bytes of the service's own metrics."),
    ("metrics.duration", Dimension.DURATION, "A number of seconds of the service's own metrics."),
):
    observation(_name, _dimension, of=HTTP, parameters=GaugeParameters, doc=_doc)(gauge)


@observation("metrics.ratio", Dimension.RATIO, of=HTTP, parameters=RatioParameters, cost=Cost.MODERATE,
             doc="The share of a counter that certain series have, e.g. cache hits of lookups.")  # fmt: skip
async def ratio(http: HttpConnector, said: RatioParameters) -> Fact:
    before, after, seconds = await looks(http, said.over)
    part = grown(before, after, said.metric, said.labels)
    whole = grown(before, after, said.whole or said.metric, said.whole_labels)
    return share(said.whole or said.metric, part, whole, seconds)


@observation("http.error_ratio", Dimension.RATIO, of=HTTP, parameters=ErrorRatioParameters, cost=Cost.MODERATE,
             warning="> 1%", critical="> 5%",
             doc="The share of its answers that are server errors, by the service's own metrics.")  # fmt: skip
async def error_ratio(http: HttpConnector, said: ErrorRatioParameters) -> Fact:
    before, after, seconds = await looks(http, said.over)
    errors = grown(before, after, said.metric, {**said.labels, said.label: said.errors})
    return share(said.metric, errors, grown(before, after, said.metric, said.labels), seconds)


def share(name: str, part: float, whole: float, seconds: float) -> Fact:
    """A ratio of two growths. Raises Absent without traffic: nothing of nothing is not zero errors."""
    span = f"within {seconds:.1f} s" if seconds else "since the process was started"
    if not whole:
        raise Absent(f"{name} did not grow {span}: there was no traffic")
    return Fact(
        part / whole, {"part": part, "whole": whole, "seconds": seconds or None}, f"{part:g} of {whole:g} {span}"
    )


@observation("metrics.rate", Dimension.RATE, of=HTTP, parameters=RateParameters, cost=Cost.MODERATE,
             doc="How fast a counter grows.")  # fmt: skip
async def rate(http: HttpConnector, said: RateParameters) -> Fact:
    before, after, seconds = await looks(http, said.over)
    if not seconds:
        raise Absent("a rate since the start of the process means nothing; say `over`")
    count = grown(before, after, said.metric, said.labels)
    return Fact(count / seconds, {"count": count, "seconds": seconds})


@observation("metrics.quantile", Dimension.DURATION, of=HTTP, parameters=QuantileParameters, cost=Cost.MODERATE,
             doc="A percentile of a histogram of seconds, as Prometheus' histogram_quantile computes it.")  # fmt: skip
async def histogram_quantile(http: HttpConnector, said: QuantileParameters) -> Fact:
    before, after, seconds = await looks(http, said.over)
    earlier = before.buckets(said.metric, said.labels) if before else {}
    counts = {
        limit: growth(said.metric, earlier.get(limit), count)
        for limit, count in after.buckets(said.metric, said.labels).items()
    }
    found = quantile(said.rank, counts)
    if found is None:
        raise Absent(f"{said.metric} observed nothing" + (f" within {seconds:.1f} s" if seconds else ""))
    return Fact(found, {"observations": max(counts.values())})
