"""Thresholds as programs hold them: a mapping called thresholds in YAML, JSON or Python, name by name."""

from __future__ import annotations

import re
from collections.abc import Iterable

from opsbook.manual.document import Fence
from opsbook.manual.extract.yaml_nodes import Entry, entries
from opsbook.manual.facts import Metric
from opsbook.manual.vocabulary import says

_CALLED = re.compile(r"thresholds\b|^limits_to_alert|umbrales|schwellwerte", re.I)
_MAPPING = re.compile(r"^\s*[\"']?([A-Za-z_]\w*)[\"']?\s*(?::\s*[\w\[\], ]+)?\s*[=:]\s*(?:dict\()?\{\s*$")
_PAIR = re.compile(r"^\s*[\"']([\w. -]{2,50})[\"']\s*:\s*(\d+(?:\.\d+)?)\s*,?\s*(?:#.*)?$")
_ALARM = re.compile(r"\bput-metric-alarm\b|resource\s+\"aws_cloudwatch_metric_alarm\"")
_ALARM_LIMIT = re.compile(r"\bthreshold[\s=]+[\"']?(\d+(?:\.\d+)?)")
_ALARM_NAME = re.compile(r"\balarm[-_]name[\s=]+[\"']?([\w.-]+)")
# How often a probe may fail is no measure of a system.
_COUNTS = re.compile(r"fail|success|retr|attempt|breaker", re.I)
_UNITS = (("%", r"percent|pct"), ("ms", r"_ms$|millis"), ("s", r"_s$|seconds?$|_sec$"))


def threshold_settings(fence: Fence) -> Iterable[Metric]:
    """The metrics of mappings that are called thresholds."""
    if fence.language in ("yaml", "json") and "hreshold" in fence.text:
        for entry in entries(fence.text, fence.line):
            for key, value in entry.values.items():
                if isinstance(value, Entry) and _CALLED.search(key):
                    yield from _of_entry(value, key)
    elif fence.language == "python":
        yield from _of_python(fence)
    elif "alarm" in fence.text:
        yield from _of_alarms(fence)


def _of_entry(entry: Entry, called: str) -> Iterable[Metric]:
    for name in entry.values:
        value = entry.text(name)
        if re.fullmatch(r"[<>=]*\s*\d+(?:\.\d+)?\s*(?:%|[a-zA-Z]{1,3})?", value) and not _COUNTS.search(name):
            yield _made(entry.lines[name], name, value, called)


def _of_alarms(fence: Fence) -> Iterable[Metric]:
    """CloudWatch's alarms, as `aws cloudwatch put-metric-alarm` or as Terraform's resource."""
    starts = [match.start() for match in _ALARM.finditer(fence.text)]
    for start, end in zip(starts, [*starts[1:], len(fence.text)], strict=True):
        told = fence.text[start:end]
        limit, named = _ALARM_LIMIT.search(told), _ALARM_NAME.search(told)
        if limit and named:
            below = "<" if re.search(r"LessThan", told) else ">"
            line = fence.line + fence.text.count("\n", 0, start)
            yield Metric(line=line, metric=named[1], critical=f"{below} {limit[1]}", source="settings")


def _of_python(fence: Fence) -> Iterable[Metric]:
    called = ""
    for index, line in enumerate(fence.text.split("\n")):
        opening = _MAPPING.match(line) if len(line) < 200 else None
        if opening is not None:
            called = opening[1] if _CALLED.search(opening[1]) else ""
        elif "}" in line:
            called = ""
        elif called and (pair := _PAIR.match(line)) is not None and not _COUNTS.search(pair[1]):
            yield _made(fence.line + index, pair[1], pair[2], called)


def _made(line: int, name: str, value: str, called: str) -> Metric:
    unit = next((unit for unit, words in _UNITS if re.search(words, name, re.I)), "") if value[-1:].isdigit() else ""
    shown = re.sub(r"[_-]+", " ", re.sub(r"[_-](?:percent(?:age)?|pct|ms|seconds?|threshold)$", "", name))
    slot = {"warning" if says(called, "warning") or called.lower().startswith("warn") else "critical": value + unit}
    return Metric(line=line, metric=shown, source="settings", **slot)
