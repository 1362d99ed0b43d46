"""PromQL that pairs, sums or names series wrongly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import promql
from opsbook.manual.lint.facts.expressions import bare, matchers, nodes, selector
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_RATES = frozenset({"rate", "irate", "increase"})


_OVER_TIME = re.compile(r"rate|irate|increase|delta|idelta|deriv|\w+_over_time|resets|changes|predict_linear")


_GAUGES = re.compile(
    r"(?:_(?:connections|usage|percent|ratio|temperature|size|active|current|available|limit|in_use|celsius|depth|length|replicas)|^(?:up|node_load\d+|node_memory_\w+_bytes|node_filesystem_\w+_bytes|container_memory_\w+_bytes|process_resident_memory_bytes|go_goroutines|process_open_fds|redis_memory_used_bytes|pg_stat_activity_count|kube_\w+_status_replicas\w*))$"
)


_EXPORTED = {
    "cpu_seconds_total": "node_cpu_seconds_total",
    "memory_MemAvailable_bytes": "node_memory_MemAvailable_bytes",
    "memory_MemTotal_bytes": "node_memory_MemTotal_bytes",
    "node_cpu": "node_cpu_seconds_total",
    "node_memory_MemAvailable": "node_memory_MemAvailable_bytes",
    "node_memory_MemTotal": "node_memory_MemTotal_bytes",
    "node_memory_MemFree": "node_memory_MemFree_bytes",
    "node_filesystem_avail": "node_filesystem_avail_bytes",
    "node_filesystem_size": "node_filesystem_size_bytes",
    "node_filesystem_free": "node_filesystem_free_bytes",
    "node_network_receive_bytes": "node_network_receive_bytes_total",
    "node_network_transmit_bytes": "node_network_transmit_bytes_total",
    "node_disk_bytes_read": "node_disk_read_bytes_total",
    "container_cpu_usage_seconds": "container_cpu_usage_seconds_total",
    "container_memory_usage": "container_memory_usage_bytes",
    "kube_pod_container_status_restarts": "kube_pod_container_status_restarts_total",
    "kube_hpa_status_current_replicas": "kube_horizontalpodautoscaler_status_current_replicas",
    "kube_hpa_spec_max_replicas": "kube_horizontalpodautoscaler_spec_max_replicas",
    "node_filesystem_free_percent": "node_filesystem_avail_bytes / node_filesystem_size_bytes",
}


@rule(
    "OB401",
    "promql-syntax",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="PromQL that does not parse",
    reason=("Prometheus refuses the query; in a rule file the whole file is refused and every alert in it is off."),
    source="promql-parser; https://prometheus.io/docs/prometheus/latest/querying/basics/",
    bad=promql("sum(rate(http_requests_total[5m])) by code)"),
    good=promql("sum(rate(http_requests_total[5m])) by (code)"),
)
def promql_syntax(context: Context) -> Iterator[Fault]:
    """Expressions of rules and PromQL blocks; not those with templates or dots to fill in."""
    for expression in context.expressions:
        if (
            expression.parsed[0] is None
            and expression.source in ("rule", "fence")
            and not re.search(r"\{\{|\.\.\.|…|<\w+>|\[\[|\$", expression.text)
        ):
            if expression.source == "rule" and not re.search(r"[({\[]|[<>=]=?\s*\d", expression.text):
                continue
            if not re.search(r"[({\[]", expression.text):
                continue
            yield Fault(expression.place, f"does not parse: {expression.parsed[1].splitlines()[0]}")


@rule(
    "OB402",
    "quantile-without-rate",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="histogram_quantile of raw buckets",
    reason=(
        "Buckets are counters: without rate() or increase() the quantile is that of "
        "everything since each process started and hardly moves any more."
    ),
    source="https://prometheus.io/docs/practices/histograms/#quantiles",
    bad=promql("histogram_quantile(0.95, http_request_duration_seconds_bucket)"),
    good=promql("histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))"),
)
def quantile_without_rate(context: Context) -> Iterator[Fault]:
    """The second argument holds a bucket selector under no function of a range."""
    for expression in context.expressions:
        for node in nodes(expression.tree):
            if type(node).__name__ == "Call" and node.func.name == "histogram_quantile" and len(node.args) == 2:
                inner = list(nodes(node.args[1]))
                ranged = any(type(n).__name__ == "Call" and _OVER_TIME.fullmatch(n.func.name) for n in inner)
                if not ranged and any(
                    type(n).__name__ == "VectorSelector" and (n.name or "").endswith("_bucket") for n in inner
                ):
                    yield Fault(
                        expression.find("histogram_quantile"),
                        "quantile of all observations since the start, not of now",
                        Fix("rate(…_bucket[5m]) inside"),
                    )


@rule(
    "OB403",
    "quantile-without-le",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="histogram_quantile over an aggregation that drops le",
    reason=(
        "The buckets are told apart by the label le. Summed without it nothing is left to "
        "interpolate: the result is empty."
    ),
    source="https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile",
    bad=promql("histogram_quantile(0.99, sum(rate(http_request_duration_seconds_bucket[5m])) by (job))"),
    good=promql("histogram_quantile(0.99, sum(rate(http_request_duration_seconds_bucket[5m])) by (job, le))"),
)
def quantile_without_le(context: Context) -> Iterator[Fault]:
    """An aggregation directly inside that keeps no le."""
    for expression in context.expressions:
        for node in nodes(expression.tree):
            if type(node).__name__ == "Call" and node.func.name == "histogram_quantile" and len(node.args) == 2:
                inside = bare(node.args[1])
                if (
                    type(inside).__name__ == "AggregateExpr"
                    and str(inside.op) in ("sum", "avg")
                    and not _keeps(inside, "le")
                ) and any(
                    (selector(n).name or "").endswith("_bucket") for n in nodes(inside) if selector(n) is not None
                ):
                    yield Fault(
                        expression.find("histogram_quantile"),
                        "the sum drops the label le: the result is empty",
                        Fix("by (le, …)"),
                    )


def _keeps(node: Any, label: str) -> bool:
    modifier = node.modifier
    if modifier is None:
        return False
    by = str(modifier.type).endswith("By")
    return (label in modifier.labels) == by


@rule(
    "OB404",
    "ratio-of-itself",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A ratio whose two sides match series by the label that tells them apart",
    reason=(
        "Without aggregation, / pairs series with equal labels: each 5xx series is divided "
        "by itself, the “error rate” is always 1, and the good requests find no partner."
    ),
    source="https://prometheus.io/docs/prometheus/latest/querying/operators/#vector-matching",
    bad=promql('rate(http_requests_total{status=~"5.."}[5m]) / rate(http_requests_total[5m])'),
    good=promql('sum(rate(http_requests_total{status=~"5.."}[5m])) / sum(rate(http_requests_total[5m]))'),
)
def ratio_of_itself(context: Context) -> Iterator[Fault]:
    """Same metric on both sides, the left narrowed by a label that no modifier or aggregation takes away."""
    for expression in context.expressions:
        for node in nodes(expression.tree):
            if (
                type(node).__name__ != "BinaryExpr"
                or str(node.op) != "/"
                or (node.modifier is not None and node.modifier.matching is not None)
            ):
                continue
            left, right = _plain_series(node.lhs), _plain_series(node.rhs)
            if left is None or right is None or left.name != right.name or not left.name:
                continue
            only_left = {name for name, _, _ in matchers(left)} - {name for name, _, _ in matchers(right)}
            if only_left:
                label = sorted(only_left)[0]
                yield Fault(
                    expression.place,
                    f"both sides carry {label}: every series is divided by itself, the result is always 1",
                    Fix("sum(…) on both sides"),
                )


def _plain_series(node: Any) -> Any:
    """The selector of rate(x[5m]) or x, through factors of a number and parentheses, without aggregation; else None."""
    node = bare(node)
    kind = type(node).__name__
    if kind == "Call" and node.func.name in _RATES and len(node.args) == 1:
        return selector(bare(node.args[0]))
    if kind == "VectorSelector":
        return node
    return None


@rule(
    "OB405",
    "rate-of-gauge",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="rate() of a gauge",
    reason=(
        "rate takes every fall for a counter reset and adds it: of a gauge it gives numbers "
        "without meaning. deriv or delta are for gauges."
    ),
    source="https://prometheus.io/docs/prometheus/latest/querying/functions/#rate",
    bad=promql("rate(node_memory_MemAvailable_bytes[5m])"),
    good=promql("deriv(node_memory_MemAvailable_bytes[5m])"),
)
def rate_of_gauge(context: Context) -> Iterator[Fault]:
    """rate, irate or increase over names that are gauges by their exporter or their ending."""
    for expression in context.expressions:
        for node in nodes(expression.tree):
            if type(node).__name__ == "Call" and node.func.name in _RATES and node.args:
                of = selector(bare(node.args[0]))
                if (
                    of is not None
                    and _GAUGES.search(of.name or "")
                    and not (of.name or "").endswith(("_total", "_count", "_sum", "_bucket"))
                ):
                    yield Fault(
                        expression.find(f"{node.func.name}"),
                        f"{of.name} is a gauge: {node.func.name} of it means nothing",
                        Fix(f"deriv({of.name}[…])"),
                    )


@rule(
    "OB408",
    "container-counted-twice",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="Sums of container metrics that count the pod's own series too",
    reason=(
        "cAdvisor exposes, beside each container, a series of the whole pod with an empty "
        "container label. A sum over both is about double."
    ),
    source="https://github.com/google/cadvisor/blob/master/docs/storage/prometheus.md",
    bad=promql('sum(rate(container_cpu_usage_seconds_total{namespace="shop"}[5m])) by (pod)'),
    good=promql('sum(rate(container_cpu_usage_seconds_total{namespace="shop", container!=""}[5m])) by (pod)'),
)
def container_counted_twice(context: Context) -> Iterator[Fault]:
    """sum of container_cpu_… or container_memory_… with no matcher on container, image or name."""
    for expression in context.expressions:
        for node in nodes(expression.tree):
            if type(node).__name__ != "AggregateExpr" or str(node.op) not in ("sum", "avg"):
                continue
            for inner in nodes(node.expr):
                of = selector(inner)
                if of is not None and re.match(
                    r"container_(?:cpu_usage_seconds_total|memory_(?:usage|working_set|rss)\w*bytes)$", of.name or ""
                ):
                    labels = {name for name, _, _ in matchers(of)}
                    if not labels & {"container", "container_name", "image", "name", "id"} and not _keeps(
                        node, "container"
                    ):
                        yield Fault(
                            expression.find(of.name),
                            "the pod's own series is reckoned in with its containers': the figure is wrong",
                            Fix('container!=""'),
                            subject=of.name,
                        )


@rule(
    "OB409",
    "metric-misnamed",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="An exporter's metric under a name that it does not have",
    reason=(
        "A selector of a name that nothing exposes yields no data and no error: the panel "
        "stays empty, the alert never fires."
    ),
    source=("https://github.com/prometheus/node_exporter, https://github.com/kubernetes/kube-state-metrics"),
    bad=promql('rate(cpu_seconds_total{mode="idle"}[5m])'),
    good=promql('rate(node_cpu_seconds_total{mode="idle"}[5m])'),
)
def metric_misnamed(context: Context) -> Iterator[Fault]:
    """The table of wrong and renamed names."""
    for expression in context.expressions:
        for node in nodes(expression.tree):
            of = selector(node)
            if of is not None and of.name in _EXPORTED and type(node).__name__ in ("VectorSelector", "MatrixSelector"):
                yield Fault(
                    expression.find(of.name),
                    f"no exporter exposes {of.name}",
                    Fix(f"{_EXPORTED[of.name]}?"),
                    subject=of.name,
                )
