"""Metrics in Prometheus' text format, read directly from an application: values, ratios, quantiles.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/. Parsed by prometheus_client's own parser.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from opsbook.connectors.contract import ReadFailed

Sample = tuple[dict[str, str], float]


@dataclass(frozen=True)
class Metrics:
    """One page: samples by their full name (`http_requests_total`, `latency_bucket`)."""

    samples: Mapping[str, list[Sample]]

    def of(self, name: str, labels: Mapping[str, str]) -> list[Sample]:
        """The samples of a name whose labels fit. Raises ReadFailed where the name is not on the page.

        A label value that begins with `~` is a regular expression for the whole value.
        """
        if name not in self.samples:
            import difflib

            near = difflib.get_close_matches(name, self.samples, n=1)
            raise ReadFailed(f"there is no metric {name}" + (f"; did you mean {near[0]}?" if near else ""))
        fits = [(label, _matcher(wanted)) for label, wanted in labels.items()]
        return [s for s in self.samples[name] if all(fit(s[0].get(label, "")) for label, fit in fits)]

    def total(self, name: str, labels: Mapping[str, str]) -> float | None:
        """The sum of the samples that fit; None where none fits or one is not a number."""
        values = [value for _, value in self.of(name, labels)]
        total = sum(values)
        return total if values and not math.isnan(total) else None

    def buckets(self, name: str, labels: Mapping[str, str]) -> dict[float, float]:
        """Cumulative counts of a histogram by upper limit, summed over the series that fit."""
        found: dict[float, float] = {}
        for sample_labels, value in self.of(name.removesuffix("_bucket") + "_bucket", labels):
            limit = float(sample_labels["le"])
            found[limit] = found.get(limit, 0.0) + value
        return dict(sorted(found.items()))


@lru_cache(maxsize=8)
def parse(page: str) -> Metrics:
    """Raises ReadFailed for what is not in the format."""
    from prometheus_client.parser import text_string_to_metric_families

    samples: dict[str, list[Sample]] = {}
    try:
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                samples.setdefault(sample.name, []).append((sample.labels, float(sample.value)))
    except (ValueError, IndexError, KeyError) as error:
        raise ReadFailed(f"the page of metrics cannot be read: {error}") from error
    return Metrics(samples)


def _matcher(wanted: str) -> Callable[[str], bool]:
    if not wanted.startswith("~"):
        return lambda value: value == wanted
    try:
        pattern = re.compile(wanted[1:])
    except re.error as error:
        raise ReadFailed(f"{wanted!r} is not a regular expression: {error}") from error
    return lambda value: pattern.fullmatch(value) is not None


def quantile(rank: float, buckets: Mapping[float, float]) -> float | None:
    """As Prometheus' histogram_quantile: linear within the bucket; None without observations.

    In the last bucket, whose end is infinite, the answer is where it starts.
    """
    limits = list(buckets)
    if len(limits) < 2 or not math.isinf(limits[-1]) or buckets[limits[-1]] <= 0:
        return None
    wanted = rank * buckets[limits[-1]]
    below, start = 0.0, 0.0
    for limit in limits:
        count = buckets[limit]
        if count >= wanted:
            if math.isinf(limit):
                return start
            if limit <= 0 or count == below:
                return limit
            return start + (limit - start) * (wanted - below) / (count - below)
        below, start = count, limit
    return start


def growth(name: str, before: float | None, after: float | None) -> float:
    """How much a counter grew. Raises ReadFailed where it fell."""
    if after is None:
        return 0.0
    grown = after - (before or 0.0)
    if grown < 0:
        raise ReadFailed(
            f"{name} fell between two looks: the process was restarted, or several answer at this address in turn;"
            " read it through Prometheus"
        )
    return grown


def aggregate(values: Sequence[float], how: str) -> float:
    """One value of several: `sum`, `max`, `min`, `avg`; `only` where there is one."""
    if how == "avg":
        return math.fsum(values) / len(values)
    if how == "max":
        return max(values)
    return min(values) if how in ("min", "only") else math.fsum(values)
