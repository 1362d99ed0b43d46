"""PromQL as text: selectors, numbers, and thresholds as comparisons."""

from __future__ import annotations

import json
from collections.abc import Mapping

from opsbook.book.threshold import Threshold
from opsbook.book.units import Quantity


def number(value: float) -> str:
    """A number as PromQL reads it, without the noise of binary fractions."""
    return f"{value:.12g}"


def quoted(text: str) -> str:
    """A string literal. PromQL's escapes are Go's, of which JSON's are a part."""
    return json.dumps(text, ensure_ascii=False)


def selector(metric: str, labels: Mapping[str, str]) -> str:
    """`metric{name="value"}`; a value that begins with `~` is a regular expression, as in the book."""
    inside = ", ".join(
        f"{name}=~{quoted(value[1:])}" if value.startswith("~") else f"{name}={quoted(value)}"
        for name, value in labels.items()
    )
    return f"{metric}{{{inside}}}" if inside else metric


def bad_values(expression: str, threshold: Threshold, usual: str = "") -> str:
    """The samples of an expression that a threshold names. `usual` is the expression of its baseline.

    The expression must bind tighter than a comparison: a selector, a call, or something in parentheses.
    """
    limit = threshold.limit
    assert isinstance(limit, Quantity)
    if threshold.baseline is not None:
        return f"{expression} {threshold.operator} {number(limit.value)} * {usual}"
    if threshold.upper is None:
        return f"{expression} {threshold.operator} {number(limit.value)}"
    low, high = number(limit.value), number(threshold.upper.value)
    if threshold.operator == "within":
        return f"{expression} >= {low} <= {high}"
    return f"{expression} < {low} or {expression} > {high}"


def duration(seconds: float) -> str:
    """A duration as Prometheus writes it, to the millisecond: `1h30m`. Its zero is `0s`."""
    left, text = round(seconds * 1000), ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"
