"""What a PromQL expression yields when its counters grow evenly and its gauges stand still.

Enough of PromQL to find input for rule tests: selectors, rate and increase, aggregations, arithmetic, comparison, `or`.
Anything else is Beyond. promtool has the last word: the tests that are made of this are run by it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

Labels = tuple[tuple[str, str], ...]
Vector = list[tuple[Labels, float]]


class Beyond(Exception):
    """An expression that is not understood here."""


@dataclass(frozen=True)
class Series:
    """A series: a gauge that stays at a value, or a counter that grows by it every second."""

    metric: str
    labels: Labels
    grows: bool


def parsed(expression: str) -> Any:
    """The tree. Raises Beyond where it cannot be parsed, or where no parser is installed."""
    try:
        import promql_parser
    except ImportError as error:
        raise Beyond("promql-parser is not installed") from error
    try:
        return promql_parser.parse(expression)
    except ValueError as error:
        raise Beyond(str(error)) from error


def series_of(tree: Any) -> list[Series]:
    """A series for every selector of an expression."""
    found = [_example(node, grows) for node, grows in _selectors(tree, False)]
    return list(dict.fromkeys(found))


def longest_range(tree: Any) -> float:
    """Seconds of the longest range that it looks back over; 0 where it looks at now."""
    kind = type(tree).__name__
    if kind == "MatrixSelector":
        return float(tree.range.total_seconds())
    return max((longest_range(child) for child in _children(tree)), default=0.0)


def value_of(tree: Any, values: Mapping[Series, float]) -> tuple[Labels, float] | None:
    """The one sample that it yields; None where it yields nothing. Raises Beyond for several."""
    found = _evaluate(tree, values)
    if isinstance(found, float):
        return (), found
    if len(found) > 1:
        raise Beyond("it yields several series")
    return found[0] if found else None


def _children(node: Any) -> list[Any]:
    kind = type(node).__name__
    if kind == "BinaryExpr":
        return [node.lhs, node.rhs]
    if kind in ("AggregateExpr", "ParenExpr", "UnaryExpr", "SubqueryExpr"):
        return [node.expr]
    return list(node.args) if kind == "Call" else []


def _selectors(node: Any, grows: bool) -> Iterator[tuple[Any, bool]]:
    kind = type(node).__name__
    if kind == "VectorSelector":
        yield node, grows
    elif kind == "MatrixSelector":
        yield node.vector_selector, True
    for child in _children(node):
        yield from _selectors(child, grows)


def _example(selector: Any, grows: bool) -> Series:
    """A series that the selector chooses."""
    labels = {}
    if selector.offset is not None or not selector.name:
        raise Beyond("a selector with an offset, or without a name")
    for matcher in selector.matchers.matchers:
        operator = str(matcher.op).rpartition(".")[2]
        if operator == "Equal" and matcher.value:
            labels[matcher.name] = matcher.value
        elif operator == "Re":
            labels[matcher.name] = _fitting(matcher.value)
    made = Series(selector.name, tuple(sorted(labels.items())), grows)
    if not _chosen(selector, made):
        raise Beyond("no series was found that a selector chooses")
    return made


def _fitting(pattern: str) -> str:
    """A text that fits a simple pattern: its first alternative, any character a 0."""
    first = re.split(r"\|", pattern.strip("^$()"))[0].strip("()")
    text = re.sub(r"\.[*+]", "x", first).replace(".", "0").replace("\\", "")
    if not re.fullmatch(pattern, text):
        raise Beyond(f"no example of {pattern} was found")
    return text


def _chosen(selector: Any, series: Series) -> bool:
    if selector.name != series.metric:
        return False
    labels = dict(series.labels)
    tests: dict[str, Callable[[str, str], bool]] = {
        "Equal": lambda have, want: have == want,
        "NotEqual": lambda have, want: have != want,
        "Re": lambda have, want: re.fullmatch(want, have) is not None,
        "NotRe": lambda have, want: re.fullmatch(want, have) is None,
    }
    return all(
        tests[str(one.op).rpartition(".")[2]](labels.get(one.name, ""), one.value) for one in selector.matchers.matchers
    )


def _evaluate(node: Any, values: Mapping[Series, float]) -> float | Vector:
    kind = type(node).__name__
    if kind == "NumberLiteral":
        return float(node.val)
    if kind == "ParenExpr":
        return _evaluate(node.expr, values)
    if kind == "VectorSelector":
        return [(one.labels, value) for one, value in values.items() if not one.grows and _chosen(node, one)]
    if kind == "Call":
        return _call(node, values)
    if kind == "AggregateExpr":
        return _aggregate(node, _evaluate(node.expr, values))
    if kind == "BinaryExpr":
        return _binary(node, _evaluate(node.lhs, values), _evaluate(node.rhs, values))
    raise Beyond(f"{kind} is not understood")


def _call(node: Any, values: Mapping[Series, float]) -> float | Vector:
    name = str(node.func.name)
    if name in ("rate", "irate", "increase") and type(node.args[0]).__name__ == "MatrixSelector":
        matrix = node.args[0]
        factor = matrix.range / timedelta(seconds=1) if name == "increase" else 1.0
        chosen = matrix.vector_selector
        return [(one.labels, value * factor) for one, value in values.items() if one.grows and _chosen(chosen, one)]
    if name == "vector":
        inner = _evaluate(node.args[0], values)
        if isinstance(inner, float):
            return [((), inner)]
    raise Beyond(f"{name}() is not understood")


AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "sum": math.fsum,
    "max": max,
    "min": min,
    "avg": lambda values: math.fsum(values) / len(values),
    "count": lambda values: float(len(values)),
}


def _aggregate(node: Any, found: float | Vector) -> Vector:
    name = str(node.op).rpartition(".")[2].lower()
    if node.modifier is not None or isinstance(found, float) or name not in AGGREGATES:
        raise Beyond(f"{name} is not understood")
    return [((), AGGREGATES[name]([value for _, value in found]))] if found else []


ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b if b else (math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a)),
}
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


def _binary(node: Any, left: float | Vector, right: float | Vector) -> float | Vector:
    operator = str(node.op)
    if operator == "or" and not isinstance(left, float) and not isinstance(right, float):
        known = {labels for labels, _ in left}
        return [*left, *((labels, value) for labels, value in right if labels not in known)]
    if node.modifier is not None or operator not in (*ARITHMETIC, *COMPARISONS):
        raise Beyond(f"{operator} is not understood in this form")
    pairs = _paired(left, right)
    if operator in ARITHMETIC:
        made = [(labels, ARITHMETIC[operator](a, b)) for labels, a, b in pairs]
    else:
        made = [(labels, a) for labels, a, b in pairs if COMPARISONS[operator](a, b)]
    if isinstance(left, float) and isinstance(right, float):
        return made[0][1] if made else 0.0
    return made


def _paired(left: float | Vector, right: float | Vector) -> list[tuple[Labels, float, float]]:
    if isinstance(left, float):
        return [(labels, left, b) for labels, b in right] if not isinstance(right, float) else [((), left, right)]
    if isinstance(right, float):
        return [(labels, a, right) for labels, a in left]
    other = dict(right)
    return [(labels, a, other[labels]) for labels, a in left if labels in other]
