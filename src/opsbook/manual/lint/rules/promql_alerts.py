"""Alerts: thresholds of another unit, rules that say nothing, files that are refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import promql, yml
from opsbook.manual.lint.facts.expressions import bare, children, matchers, nodes, selector
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule


@rule(
    "OB406",
    "silent-when-absent",
    FaultClass.UNSAFE,
    Severity.HINT,
    summary="An alert on == 0 that says nothing when the series is gone",
    reason=(
        "A process that died no longer exposes its series; an expression over nothing yields "
        "nothing, and the alert stays quiet just then."
    ),
    source="https://prometheus.io/docs/prometheus/latest/querying/functions/#absent",
    bad=yml(
        "groups:\n"
        "  - name: jobs\n"
        "    rules:\n"
        "      - alert: Stalled\n"
        "        expr: rate(items_total[10m]) == 0\n"
        "        for: 20m"
    ),
    good=yml(
        "groups:\n"
        "  - name: jobs\n"
        "    rules:\n"
        "      - alert: Stalled\n"
        "        expr: rate(items_total[10m]) == 0 or absent(items_total)\n"
        "        for: 20m"
    ),
)
def silent_when_absent(context: Context) -> Iterator[Fault]:
    """Rules that compare a rate with zero and nowhere say absent."""
    for expression in context.expressions:
        if (
            expression.source == "rule"
            and re.search(r"(?:rate|increase)\(.*==\s*0\s*$", expression.text)
            and "absent" not in expression.text
        ):
            yield Fault(expression.place, "stays quiet when the series is gone", Fix("or absent(…)"))


@rule(
    "OB407",
    "rate-against-share",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="Errors per second compared with a threshold that is a share",
    reason=(
        "rate() gives events per second, so 0.05 is one error in twenty seconds: with much "
        "traffic the alert always fires, with little it never does. A share needs the "
        "division by all requests."
    ),
    source="https://prometheus.io/docs/practices/alerting/",
    bad=("- Error rate: < 1%\n\n")
    + yml(
        "groups:\n"
        "  - name: api\n"
        "    rules:\n"
        "      - alert: HighErrorRate\n"
        "        expr: rate(api_errors_total[5m]) > 0.05\n"
        "        for: 10m"
    ),
    good=("- Error rate: < 1%\n\n")
    + yml(
        "groups:\n"
        "  - name: api\n"
        "    rules:\n"
        "      - alert: HighErrorRate\n"
        "        expr: sum(rate(api_errors_total[5m])) / "
        "sum(rate(api_requests_total[5m])) > 0.05\n"
        "        for: 10m"
    ),
)
def rate_against_share(context: Context) -> Iterator[Fault]:
    """rate(errors) > fraction, with no division, where the manual speaks of error rates in percent."""
    percent = re.search(r"error[ _]rates?\b[^\n]{0,30}\d\s*%", context.text)
    for expression in context.expressions:
        tree: Any = bare(expression.tree) if expression.tree is not None else None
        if type(tree).__name__ != "BinaryExpr" or str(tree.op) not in (">", ">="):
            continue
        limit = bare(tree.rhs)
        if type(limit).__name__ != "NumberLiteral" or not 0 < limit.val < 1:
            continue
        divided = any(type(n).__name__ == "BinaryExpr" and str(n.op) == "/" for n in nodes(tree.lhs))
        rates = [n for n in nodes(tree.lhs) if type(n).__name__ == "Call" and n.func.name in ("rate", "irate")]
        of = selector(bare(rates[0].args[0])) if rates else None
        erroneous = of is not None and (
            re.search(r"error|fail|5xx", of.name or "")
            or any(re.search(r"^5|error|fail", v) for _, _, v in matchers(of))
        )
        named_rate = re.search(r"rate", expression.alert, re.I)
        if erroneous and not divided and (percent or named_rate):
            yield Fault(
                expression.place,
                f"errors per second against {limit.val:g}, which is a share: the alert depends on traffic",
                Fix("divide by the rate of all requests"),
            )


@rule(
    "OB410",
    "comparison-of-share",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A share between 0 and 1 compared with a percentage, or the other way round",
    reason="A ratio of two counts never exceeds 1: > 80 never fires.",
    source="https://prometheus.io/docs/practices/naming/#base-units",
    bad=yml(
        "groups:\n"
        "  - name: node\n"
        "    rules:\n"
        "      - alert: MemoryHigh\n"
        "        expr: 1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes > "
        "85\n"
        "        for: 5m"
    ),
    good=yml(
        "groups:\n"
        "  - name: node\n"
        "    rules:\n"
        "      - alert: MemoryHigh\n"
        "        expr: 100 * (1 - node_memory_MemAvailable_bytes / "
        "node_memory_MemTotal_bytes) > 85\n"
        "        for: 5m"
    ),
)
def comparison_of_share(context: Context) -> Iterator[Fault]:
    """A division of the same unit compared with a number above 1, with no factor of 100."""
    for expression in context.expressions:
        tree: Any = bare(expression.tree) if expression.tree is not None else None
        if type(tree).__name__ != "BinaryExpr" or str(tree.op) not in (">", ">="):
            continue
        limit = bare(tree.rhs)
        if type(limit).__name__ != "NumberLiteral" or limit.val < 2 or _factor(tree.lhs):
            continue
        share = bare(tree.lhs)
        if (
            type(share).__name__ == "BinaryExpr"
            and str(share.op) == "-"
            and type(bare(share.lhs)).__name__ == "NumberLiteral"
            and bare(share.lhs).val == 1
        ):
            share = bare(share.rhs)
        if type(share).__name__ == "BinaryExpr" and str(share.op) == "/" and _same_unit(share):
            yield Fault(
                expression.place,
                f"a share is never above 1, the threshold is {limit.val:g}",
                Fix("multiply by 100, or write the threshold as a fraction"),
            )


def _factor(node: Any) -> bool:
    if type(node).__name__ == "NumberLiteral" and node.val in (100, 1000):
        return True
    return any(_factor(child) for child in children(node))


def _same_unit(node: Any) -> bool:
    sides = [
        next((selector(n).name for n in nodes(side) if selector(n) is not None and selector(n).name), "")
        for side in (node.lhs, node.rhs)
    ]
    endings = ("_bytes", "_requests_total", "_total_count", "_cpu_seconds_total", "_connections")
    return (
        all(sides)
        and any(sides[0].endswith(e) and sides[1].endswith(e) for e in endings)
        and sides[0].split("_")[0] == sides[1].split("_")[0]
        and (
            "Total" in sides[1]
            or "size" in sides[1]
            or sides[0] == sides[1]
            or "limit" in sides[1]
            or "max" in sides[1]
        )
    )


@rule(
    "OB412",
    "limit-that-is-zero",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="Memory divided by a limit that is 0 where there is none",
    reason=(
        "container_spec_memory_limit_bytes is 0 for containers without a limit: the share is "
        "+Inf, and the alert fires for them for ever."
    ),
    source="https://github.com/google/cadvisor/blob/master/docs/storage/prometheus.md",
    bad=promql("container_memory_usage_bytes / container_spec_memory_limit_bytes > 0.9"),
    good=promql("container_memory_usage_bytes / (container_spec_memory_limit_bytes > 0) > 0.9"),
)
def limit_that_is_zero(context: Context) -> Iterator[Fault]:
    """A division by the bare limit."""
    for expression in context.expressions:
        for node in nodes(expression.tree):
            if type(node).__name__ == "BinaryExpr" and str(node.op) == "/":
                under = bare(node.rhs)
                if type(under).__name__ == "VectorSelector" and under.name == "container_spec_memory_limit_bytes":
                    yield Fault(
                        expression.find("container_spec_memory_limit_bytes"),
                        "is 0 for containers without a limit: the share is +Inf",
                        Fix("(container_spec_memory_limit_bytes > 0)"),
                        subject="limit",
                    )


@rule(
    "OB413",
    "cores-called-percent",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="Cores in use shown or compared as if they were a share",
    reason=(
        "rate(container_cpu_usage_seconds_total) is a number of cores. 0.8 is four fifths of one core: a third of a "
        "limit of 2.4, and more than a limit of 0.5 can ever reach. A share needs the division by the limit."
    ),
    source="https://github.com/google/cadvisor/blob/master/docs/storage/prometheus.md",
    bad=yml(
        "groups:\n  - name: pods\n    rules:\n      - alert: HighCPU\n"
        '        expr: rate(container_cpu_usage_seconds_total{container!=""}[5m]) > 0.8\n        for: 10m\n'
        "        annotations:\n          summary: CPU at {{ $value | humanizePercentage }}"
    ),
    good=yml(
        "groups:\n  - name: pods\n    rules:\n      - alert: HighCPU\n"
        '        expr: rate(container_cpu_usage_seconds_total{container!=""}[5m]) > 0.8\n        for: 10m\n'
        "        annotations:\n          summary: CPU at {{ $value }} cores"
    ),
)
def cores_called_percent(context: Context) -> Iterator[Fault]:
    """Rules over the rate of used CPU seconds, nothing divided, whose annotations print a percentage."""
    lines = context.document.lines
    for expression in context.expressions:
        if expression.source != "rule" or expression.tree is None:
            continue
        text = re.sub(r"\s+", " ", expression.text)
        if "container_cpu_usage_seconds_total" not in text or "/" in re.sub(r'"[^"]*"', "", text) or "absent" in text:
            continue
        first = expression.place.line
        below = lines[first : first + 16]
        end = next((n for n, line in enumerate(below) if re.match(r"\s*-\s+(?:alert|record)\s*:", line)), len(below))
        told = "\n".join(below[:end])
        if re.search(r"humanizePercentage|\$value\s*(?:\|[^}]*)?\}\}\s*%", told):
            yield Fault(expression.place, "is a number of cores, told as a percentage", Fix("divide by the limit"))


@rule(
    "OB411",
    "rule-file",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A Prometheus rule that promtool refuses",
    reason=(
        "Prometheus does not load a rule file with an unknown key, a duration it cannot read "
        "or a rule without an expression; none of its alerts work then."
    ),
    source="https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/",
    bad=yml("groups:\n  - name: api\n    rules:\n      - alert: Down\n        expr: up == 0\n        for: 5 minutes"),
    good=yml("groups:\n  - name: api\n    rules:\n      - alert: Down\n        expr: up == 0\n        for: 5m"),
)
def rule_file(context: Context) -> Iterator[Fault]:
    """groups/rules of YAML blocks: keys, durations, expression present."""
    keys = {"alert", "record", "expr", "for", "keep_firing_for", "labels", "annotations"}
    for manifest in context.manifests:
        loose = manifest.data if isinstance(manifest.data, list) else [manifest.data]
        for number, entry in enumerate(loose):
            if isinstance(entry, dict) and {"alert", "expr"} <= entry.keys():
                path: tuple[str | int, ...] = (number,) if isinstance(manifest.data, list) else ()
                for key in sorted(map(str, entry.keys() - keys)):
                    yield Fault(
                        manifest.place(*path, key),
                        f"Prometheus knows no key {key} in a rule",
                        Fix("below labels or annotations"),
                        subject=f"key-{manifest.first_line}",
                    )
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
