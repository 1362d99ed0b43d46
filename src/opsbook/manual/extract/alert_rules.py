"""Metrics in blocks: Prometheus rules, lists of thresholds in YAML, the targets of autoscalers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from opsbook.manual.document import Fence
from opsbook.manual.extract.yaml_nodes import Entry, entries
from opsbook.manual.facts import Metric
from opsbook.manual.vocabulary import says

_LIMIT = re.compile(r"(?:[<>]=?|==|!=)\s*(?:bool\s+)?-?[\d.]+(?:e\d+)?\s*$")
_CONDITION = (
    "threshold",
    "condition",
    "expression",
    "when",
    "limit",
    "trigger",
    "umbral",
    "schwelle",
    "порог",
    "阈值",
    "query",
)
_CHART_TARGETS = (("targetCPUUtilizationPercentage", "cpu"), ("targetMemoryUtilizationPercentage", "memory"))
_NAME = ("name", "alert", "metric", "title", "id", "nombre", "名称")


def rules_of_block(fence: Fence) -> Iterable[Metric]:
    """The metrics that a YAML block defines; none for any other block."""
    if fence.language != "yaml":
        return
    for entry in entries(fence.text, fence.line):
        if "expr" in entry.values and entry.text("alert"):
            yield _prometheus(entry)
        elif "averageUtilization" in entry.values or "targetAverageUtilization" in entry.values:
            pass
        elif entry.text("kind") == "HorizontalPodAutoscaler":
            yield from _autoscaler(entry)
        elif any(key in entry.values for key, _ in _CHART_TARGETS):
            yield from _chart_values(entry)
        elif any(key in entry.values for key in _CONDITION) and entry.text(*_NAME) and "expr" not in entry.values:
            made = _threshold(entry)
            if made is not None:
                yield made
        elif {"warning", "critical"} <= set(entry.values):
            yield from _ranges(entry, fence)


def _prometheus(entry: Entry) -> Metric:
    labels = entry.entry("labels")
    severity = (labels.text("severity") if labels else "") or entry.text("severity")
    expr = re.sub(r"\s+", " ", entry.text("expr"))
    limit = _LIMIT.search(expr)
    notes = entry.entry("annotations")
    value = limit[0].strip() if limit else ""
    slot = {"warning" if says(severity, "warning") else "critical": value} if value else {}
    return Metric(
        line=entry.lines.get("alert", entry.line),
        metric=entry.text("alert"),
        expr=expr,
        for_=entry.text("for"),
        severity=severity,
        action=notes.text("runbook_url", "runbook", "action") if notes else "",
        source="prometheus",
        **slot,
    )


def _threshold(entry: Entry) -> Metric | None:
    condition = entry.text(*_CONDITION)
    if not re.search(r"\d", condition):
        return None
    severity = entry.text("severity", "level", "priority")
    slot = {"warning" if says(severity, "warning") else "critical": condition}
    return Metric(
        line=entry.line,
        metric=entry.text(*_NAME),
        severity=severity,
        for_=entry.text("for", "duration", "window"),
        action=entry.text("action", "response", "runbook", "acción", "notify"),
        source="yaml",
        **slot,
    )


def _ranges(entry: Entry, fence: Fence) -> Iterable[Metric]:
    name = entry.text(*_NAME)
    if not name:
        line = fence.text.split("\n")[max(entry.line - fence.line - 1, 0)] if entry.line > fence.line else ""
        name = line.strip().rstrip(":").lstrip("- ")
    values = {key: entry.text(key) for key in ("normal", "warning", "critical") if entry.text(key)}
    if name and values and any(re.search(r"\d", value) for value in values.values()):
        yield Metric(line=entry.line, metric=name, source="yaml", **values)


def _autoscaler(entry: Entry) -> Iterable[Metric]:
    for inner in entry.walk():
        resource = inner.entry("resource")
        target = resource.entry("target") if resource else None
        for holder, key in ((target, "averageUtilization"), (resource, "targetAverageUtilization")):
            if resource and holder and holder.text(key):
                line = holder.lines.get(key, holder.line)
                yield Metric(
                    line=line, metric=f"HPA {resource.text('name')}", target=holder.text(key) + "%", source="autoscaler"
                )
    for inner in entry.walk():
        yield from _chart_values(inner)


def _chart_values(entry: Entry) -> Iterable[Metric]:
    """`targetCPUUtilizationPercentage: 70`, as autoscaling/v1 and the values of most charts spell it."""
    for key, name in _CHART_TARGETS:
        if entry.text(key):
            yield Metric(line=entry.lines[key], metric=f"HPA {name}", target=entry.text(key) + "%", source="autoscaler")
