"""PromQL that does not measure what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import promql, yml
from opsbook.manual.lint.facts.expressions import Expression, bare, children, matchers, nodes, selector
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_RATES = frozenset({"rate", "irate", "increase"})
_OVER_TIME = re.compile(r"rate|irate|increase|delta|idelta|deriv|\w+_over_time|resets|changes|predict_linear")
_GAUGES = re.compile(r"(?:_(?:connections|usage|percent|ratio|temperature|size|active|current|available|limit|in_use|celsius|depth|length|replicas)|^(?:up|node_load\d+|node_memory_\w+_bytes|node_filesystem_\w+_bytes|container_memory_\w+_bytes|process_resident_memory_bytes|go_goroutines|process_open_fds|redis_memory_used_bytes|pg_stat_activity_count|kube_\w+_status_replicas\w*))$")
_EXPORTED = {"cpu_seconds_total": "node_cpu_seconds_total", "memory_MemAvailable_bytes": "node_memory_MemAvailable_bytes", "memory_MemTotal_bytes": "node_memory_MemTotal_bytes",
             "node_cpu": "node_cpu_seconds_total", "node_memory_MemAvailable": "node_memory_MemAvailable_bytes", "node_memory_MemTotal": "node_memory_MemTotal_bytes", "node_memory_MemFree": "node_memory_MemFree_bytes",
             "node_filesystem_avail": "node_filesystem_avail_bytes", "node_filesystem_size": "node_filesystem_size_bytes", "node_filesystem_free": "node_filesystem_free_bytes", "node_network_receive_bytes": "node_network_receive_bytes_total",
             "node_network_transmit_bytes": "node_network_transmit_bytes_total", "node_disk_bytes_read": "node_disk_read_bytes_total", "container_cpu_usage_seconds": "container_cpu_usage_seconds_total",
             "container_memory_usage": "container_memory_usage_bytes", "kube_pod_container_status_restarts": "kube_pod_container_status_restarts_total", "kube_hpa_status_current_replicas": "kube_horizontalpodautoscaler_status_current_replicas",
             "kube_hpa_spec_max_replicas": "kube_horizontalpodautoscaler_spec_max_replicas", "node_filesystem_free_percent": "node_filesystem_avail_bytes / node_filesystem_size_bytes"}  # fmt: skip


@rule(
    "OB401", "promql-syntax", FaultClass.WILL_NOT_RUN, Severity.ERROR,
    summary="PromQL that does not parse",
    reason="Prometheus refuses the query; in a rule file the whole file is refused and every alert in it is off.",
    source="promql-parser; https://prometheus.io/docs/prometheus/latest/querying/basics/",
    bad=promql("sum(rate(http_requests_total[5m])) by code)"),
    good=promql("sum(rate(http_requests_total[5m])) by (code)"),
)  # fmt: skip
def promql_syntax(context: Context) -> Iterator[Fault]:
    """Expressions of rules and PromQL blocks; not those with templates or dots to fill in."""
    for expression in context.expressions:
        if expression.parsed[0] is None and expression.source in ("rule", "fence") and not re.search(r"\{\{|\.\.\.|…|<\w+>|\[\[|\$", expression.text):
            if expression.source == "rule" and not re.search(r"[({\[]|[<>=]=?\s*\d", expression.text):
                continue
            if not re.search(r"[({\[]", expression.text):
                continue
            yield Fault(expression.place, f"does not parse: {expression.parsed[1].splitlines()[0]}")


@rule(
    "OB402", "quantile-without-rate", FaultClass.WILL_NOT_RUN, Severity.ERROR,
    summary="histogram_quantile of raw buckets",
    reason="Buckets are counters: without rate() or increase() the quantile is that of everything since each process started and hardly moves any more.",
    source="https://prometheus.io/docs/practices/histograms/#quantiles",
    bad=promql("histogram_quantile(0.95, http_request_duration_seconds_bucket)"),
    good=promql("histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))"),
)  # fmt: skip
def quantile_without_rate(context: Context) -> Iterator[Fault]:
    """The second argument holds a bucket selector under no function of a range."""
    for expression in context.expressions:
        for node in nodes(expression.tree):
            if type(node).__name__ == "Call" and node.func.name == "histogram_quantile" and len(node.args) == 2:
                inner = list(nodes(node.args[1]))
                ranged = any(type(n).__name__ == "Call" and _OVER_TIME.fullmatch(n.func.name) for n in inner)
                if not ranged and any(type(n).__name__ == "VectorSelector" and (n.name or "").endswith("_bucket") for n in inner):
                    yield Fault(expression.find("histogram_quantile"), "quantile of all observations since the start, not of now", Fix("rate(…_bucket[5m]) inside"))


@rule(
    "OB403", "quantile-without-le", FaultClass.WILL_NOT_RUN, Severity.ERROR,
    summary="histogram_quantile over an aggregation that drops le",
    reason="The buckets are told apart by the label le. Summed without it nothing is left to interpolate: the result is empty.",
    source="https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile",
    bad=promql("histogram_quantile(0.99, sum(rate(http_request_duration_seconds_bucket[5m])) by (job))"),
    good=promql("histogram_quantile(0.99, sum(rate(http_request_duration_seconds_bucket[5m])) by (job, le))"),
)  # fmt: skip
def quantile_without_le(context: Context) -> Iterator[Fault]:
    """An aggregation directly inside that keeps no le."""
    for expression in context.expressions:
        for node in nodes(expression.tree):
            if type(node).__name__ == "Call" and node.func.name == "histogram_quantile" and len(node.args) == 2:
                inside = bare(node.args[1])
                if type(inside).__name__ == "AggregateExpr" and str(inside.op) in ("sum", "avg") and not _keeps(inside, "le"):
                    if any((selector(n).name or "").endswith("_bucket") for n in nodes(inside) if selector(n) is not None):
                        yield Fault(expression.find("histogram_quantile"), "the sum drops the label le: the result is empty", Fix("by (le, …)"))


def _keeps(node: Any, label: str) -> bool:
    modifier = node.modifier
    if modifier is None:
        return False
    by = str(modifier.type).endswith("By")
    return (label in modifier.labels) == by


@rule(
    "OB404", "ratio-of-itself", FaultClass.WILL_NOT_RUN, Severity.ERROR,
    summary="A ratio whose two sides match series by the label that tells them apart",
    reason="Without aggregation, / pairs series with equal labels: each 5xx series is divided by itself, the “error rate” is always 1, and the good requests find no partner.",
    source="https://prometheus.io/docs/prometheus/latest/querying/operators/#vector-matching",
    bad=promql('rate(http_requests_total{status=~"5.."}[5m]) / rate(http_requests_total[5m])'),
    good=promql('sum(rate(http_requests_total{status=~"5.."}[5m])) / sum(rate(http_requests_total[5m]))'),
)  # fmt: skip
def ratio_of_itself(context: Context) -> Iterator[Fault]:
    """Same metric on both sides, the left narrowed by a label that no modifier or aggregation takes away."""
    for expression in context.expressions:
        for node in nodes(expression.tree):
            if type(node).__name__ != "BinaryExpr" or str(node.op) != "/" or node.modifier is not None and node.modifier.matching is not None:
                continue
            left, right = _plain_series(node.lhs), _plain_series(node.rhs)
            if left is None or right is None or left.name != right.name or not left.name:
                continue
            only_left = {name for name, _, _ in matchers(left)} - {name for name, _, _ in matchers(right)}
            if only_left:
                label = sorted(only_left)[0]
                yield Fault(expression.place, f"both sides carry {label}: every series is divided by itself, the result is always 1",
                            Fix("sum(…) on both sides"))  # fmt: skip


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
    "OB405", "rate-of-gauge", FaultClass.WILL_NOT_RUN, Severity.WARNING,
    summary="rate() of a gauge",
    reason="rate takes every fall for a counter reset and adds it: of a gauge it gives numbers without meaning. deriv or delta are for gauges.",
    source="https://prometheus.io/docs/prometheus/latest/querying/functions/#rate",
    bad=promql("rate(node_memory_MemAvailable_bytes[5m])"),
    good=promql("deriv(node_memory_MemAvailable_bytes[5m])"),
)  # fmt: skip
def rate_of_gauge(context: Context) -> Iterator[Fault]:
    """rate, irate or increase over names that are gauges by their exporter or their ending."""
    for expression in context.expressions:
        for node in nodes(expression.tree):
            if type(node).__name__ == "Call" and node.func.name in _RATES and node.args:
                of = selector(bare(node.args[0]))
                if of is not None and _GAUGES.search(of.name or "") and not (of.name or "").endswith(("_total", "_count", "_sum", "_bucket")):
                    yield Fault(expression.find(f"{node.func.name}"), f"{of.name} is a gauge: {node.func.name} of it means nothing", Fix(f"deriv({of.name}[…])"))


@rule(
    "OB406", "silent-when-absent", FaultClass.UNSAFE, Severity.HINT,
    summary="An alert on == 0 that says nothing when the series is gone",
    reason="A process that died no longer exposes its series; an expression over nothing yields nothing, and the alert stays quiet just then.",
    source="https://prometheus.io/docs/prometheus/latest/querying/functions/#absent",
    bad=yml('groups:\n  - name: jobs\n    rules:\n      - alert: Stalled\n        expr: rate(items_total[10m]) == 0\n        for: 20m'),
    good=yml('groups:\n  - name: jobs\n    rules:\n      - alert: Stalled\n        expr: rate(items_total[10m]) == 0 or absent(items_total)\n        for: 20m'),
)  # fmt: skip
def silent_when_absent(context: Context) -> Iterator[Fault]:
    """Rules that compare a rate with zero and nowhere say absent."""
    for expression in context.expressions:
        if expression.source == "rule" and re.search(r"(?:rate|increase)\(.*==\s*0\s*$", expression.text) and "absent" not in expression.text:
            yield Fault(expression.place, "stays quiet when the series is gone", Fix("or absent(…)"))


@rule(
    "OB407", "rate-against-share", FaultClass.CONTRADICTION, Severity.WARNING,
    summary="Errors per second compared with a threshold that is a share",
    reason="rate() gives events per second, so 0.05 is one error in twenty seconds: with much traffic the alert always fires, with little it never does. A share needs the division by all requests.",
    source="https://prometheus.io/docs/practices/alerting/",
    bad="- Error rate: < 1%\n\n" + yml("groups:\n  - name: api\n    rules:\n      - alert: HighErrorRate\n        expr: rate(api_errors_total[5m]) > 0.05\n        for: 10m"),
    good="- Error rate: < 1%\n\n" + yml("groups:\n  - name: api\n    rules:\n      - alert: HighErrorRate\n        expr: sum(rate(api_errors_total[5m])) / sum(rate(api_requests_total[5m])) > 0.05\n        for: 10m"),
)  # fmt: skip
def rate_against_share(context: Context) -> Iterator[Fault]:
    """rate(errors) > fraction, with no division, where the manual speaks of error rates in percent."""
    percent = re.search(r"error[ _]rates?\b[^\n]{0,30}\d\s*%", context.text)
    for expression in context.expressions:
        tree = bare(expression.tree) if expression.tree is not None else None
        if type(tree).__name__ != "BinaryExpr" or str(tree.op) not in (">", ">="):
            continue
        limit = bare(tree.rhs)
        if type(limit).__name__ != "NumberLiteral" or not 0 < limit.val < 1:
            continue
        divided = any(type(n).__name__ == "BinaryExpr" and str(n.op) == "/" for n in nodes(tree.lhs))
        rates = [n for n in nodes(tree.lhs) if type(n).__name__ == "Call" and n.func.name in ("rate", "irate")]
        of = selector(bare(rates[0].args[0])) if rates else None
        erroneous = of is not None and (re.search(r"error|fail|5xx", of.name or "") or any(re.search(r"^5|error|fail", v) for _, _, v in matchers(of)))
        named_rate = re.search(r"rate", expression.alert, re.I)
        if erroneous and not divided and (percent or named_rate):
            yield Fault(expression.place, f"errors per second against {limit.val:g}, which is a share: the alert depends on traffic",
                        Fix("divide by the rate of all requests"))  # fmt: skip


@rule(
    "OB408", "container-counted-twice", FaultClass.WILL_NOT_RUN, Severity.WARNING,
    summary="Sums of container metrics that count the pod's own series too",
    reason="cAdvisor exposes, beside each container, a series of the whole pod with an empty container label. A sum over both is about double.",
    source="https://github.com/google/cadvisor/blob/master/docs/storage/prometheus.md",
    bad=promql('sum(rate(container_cpu_usage_seconds_total{namespace="shop"}[5m])) by (pod)'),
    good=promql('sum(rate(container_cpu_usage_seconds_total{namespace="shop", container!=""}[5m])) by (pod)'),
)  # fmt: skip
def container_counted_twice(context: Context) -> Iterator[Fault]:
    """sum of container_cpu_… or container_memory_… with no matcher on container, image or name."""
    for expression in context.expressions:
        for node in nodes(expression.tree):
            if type(node).__name__ != "AggregateExpr" or str(node.op) != "sum":
                continue
            for inner in nodes(node.expr):
                of = selector(inner)
                if of is not None and re.match(r"container_(?:cpu_usage_seconds_total|memory_(?:usage|working_set|rss)\w*bytes)$", of.name or ""):
                    labels = {name for name, _, _ in matchers(of)}
                    if not labels & {"container", "container_name", "image", "name", "id"} and not _keeps(node, "container"):
                        yield Fault(expression.find(of.name), "the pod's own series is added to its containers': about double", Fix('container!=""'), subject=of.name)


@rule(
    "OB409", "metric-misnamed", FaultClass.WILL_NOT_RUN, Severity.WARNING,
    summary="An exporter's metric under a name that it does not have",
    reason="A selector of a name that nothing exposes yields no data and no error: the panel stays empty, the alert never fires.",
    source="https://github.com/prometheus/node_exporter, https://github.com/kubernetes/kube-state-metrics",
    bad=promql('rate(cpu_seconds_total{mode="idle"}[5m])'),
    good=promql('rate(node_cpu_seconds_total{mode="idle"}[5m])'),
)  # fmt: skip
def metric_misnamed(context: Context) -> Iterator[Fault]:
    """The table of wrong and renamed names."""
    for expression in context.expressions:
        for node in nodes(expression.tree):
            of = selector(node)
            if of is not None and of.name in _EXPORTED and type(node).__name__ in ("VectorSelector", "MatrixSelector"):
                yield Fault(expression.find(of.name), f"no exporter exposes {of.name}", Fix(f"{_EXPORTED[of.name]}?"), subject=of.name)


@rule(
    "OB410", "comparison-of-share", FaultClass.WILL_NOT_RUN, Severity.WARNING,
    summary="A share between 0 and 1 compared with a percentage, or the other way round",
    reason="A ratio of two counts never exceeds 1: > 80 never fires.",
    source="https://prometheus.io/docs/practices/naming/#base-units",
    bad=yml("groups:\n  - name: node\n    rules:\n      - alert: MemoryHigh\n        expr: 1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes > 85\n        for: 5m"),
    good=yml("groups:\n  - name: node\n    rules:\n      - alert: MemoryHigh\n        expr: 100 * (1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes) > 85\n        for: 5m"),
)  # fmt: skip
def comparison_of_share(context: Context) -> Iterator[Fault]:
    """A division of the same unit compared with a number above 1, with no factor of 100."""
    for expression in context.expressions:
        tree = bare(expression.tree) if expression.tree is not None else None
        if type(tree).__name__ != "BinaryExpr" or str(tree.op) not in (">", ">="):
            continue
        limit = bare(tree.rhs)
        if type(limit).__name__ != "NumberLiteral" or limit.val < 2 or _factor(tree.lhs):
            continue
        share = bare(tree.lhs)
        if type(share).__name__ == "BinaryExpr" and str(share.op) == "-" and type(bare(share.lhs)).__name__ == "NumberLiteral" and bare(share.lhs).val == 1:
            share = bare(share.rhs)
        if type(share).__name__ == "BinaryExpr" and str(share.op) == "/" and _same_unit(share):
            yield Fault(expression.place, f"a share is never above 1, the threshold is {limit.val:g}", Fix("multiply by 100, or write the threshold as a fraction"))


def _factor(node: Any) -> bool:
    if type(node).__name__ == "NumberLiteral" and node.val in (100, 1000):
        return True
    return any(_factor(child) for child in children(node))


def _same_unit(node: Any) -> bool:
    sides = [next((selector(n).name for n in nodes(side) if selector(n) is not None and selector(n).name), "") for side in (node.lhs, node.rhs)]
    endings = ("_bytes", "_requests_total", "_total_count", "_cpu_seconds_total", "_connections")
    return all(sides) and any(sides[0].endswith(e) and sides[1].endswith(e) for e in endings) and sides[0].split("_")[0] == sides[1].split("_")[0] and (
        "Total" in sides[1] or "size" in sides[1] or sides[0] == sides[1] or "limit" in sides[1] or "max" in sides[1]
    )  # fmt: skip


@rule(
    "OB412", "limit-that-is-zero", FaultClass.WILL_NOT_RUN, Severity.WARNING,
    summary="Memory divided by a limit that is 0 where there is none",
    reason="container_spec_memory_limit_bytes is 0 for containers without a limit: the share is +Inf, and the alert fires for them for ever.",
    source="https://github.com/google/cadvisor/blob/master/docs/storage/prometheus.md",
    bad=promql("container_memory_usage_bytes / container_spec_memory_limit_bytes > 0.9"),
    good=promql("container_memory_usage_bytes / (container_spec_memory_limit_bytes > 0) > 0.9"),
)  # fmt: skip
def limit_that_is_zero(context: Context) -> Iterator[Fault]:
    """A division by the bare limit."""
    for expression in context.expressions:
        for node in nodes(expression.tree):
            if type(node).__name__ == "BinaryExpr" and str(node.op) == "/":
                under = bare(node.rhs)
                if type(under).__name__ == "VectorSelector" and under.name == "container_spec_memory_limit_bytes":
                    yield Fault(expression.find("container_spec_memory_limit_bytes"), "is 0 for containers without a limit: the share is +Inf", Fix("(container_spec_memory_limit_bytes > 0)"), subject="limit")


@rule(
    "OB411", "rule-file", FaultClass.WILL_NOT_RUN, Severity.ERROR,
    summary="A Prometheus rule that promtool refuses",
    reason="Prometheus does not load a rule file with an unknown key, a duration it cannot read or a rule without an expression; none of its alerts work then.",
    source="https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/",
    bad=yml("groups:\n  - name: api\n    rules:\n      - alert: Down\n        expr: up == 0\n        for: 5 minutes"),
    good=yml("groups:\n  - name: api\n    rules:\n      - alert: Down\n        expr: up == 0\n        for: 5m"),
)  # fmt: skip
def rule_file(context: Context) -> Iterator[Fault]:
    """groups/rules of YAML blocks: keys, durations, expression present."""
    keys = {"alert", "record", "expr", "for", "keep_firing_for", "labels", "annotations"}
    for manifest in context.manifests:
        loose = manifest.data if isinstance(manifest.data, list) else [manifest.data]
        for number, entry in enumerate(loose):
            if isinstance(entry, dict) and {"alert", "expr"} <= entry.keys():
                path: tuple[str | int, ...] = (number,) if isinstance(manifest.data, list) else ()
                for key in sorted(map(str, entry.keys() - keys)):
                    yield Fault(manifest.place(*path, key), f"Prometheus knows no key {key} in a rule", Fix("below labels or annotations"), subject=f"key-{manifest.first_line}")
        root: tuple[str | int, ...] = ("spec",) if manifest.kind == "PrometheusRule" else ()
        for g, group in enumerate(manifest.get(*root, "groups") or []):
            rules = group.get("rules") if isinstance(group, dict) else None
            for r, entry in enumerate(rules if isinstance(rules, list) else []):
                if not isinstance(entry, dict) or not ({"alert", "record"} & entry.keys()):
                    continue
                path = (*root, "groups", g, "rules", r)
                if not entry.get("expr"):
                    yield Fault(manifest.place(*path), f"{entry.get('alert') or entry.get('record')} has no expr")
                for key in sorted(map(str, entry.keys() - keys)):
                    yield Fault(manifest.place(*path, str(key)), f"Prometheus knows no key {key} in a rule")
                wait = entry.get("for")
                if wait is not None and not re.fullmatch(r"(?:\d+(?:ms|[smhdwy]))+|0", str(wait)):
                    yield Fault(manifest.place(*path, "for"), f"“{wait}” is no duration", Fix("5m"))
