"""What an alert's expression measures and against which limit, in the units of a book."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from opsbook.book.units import Dimension, write_duration
from opsbook.manual.lint.facts.expressions import nodes

COMPARISONS = {">": "<", ">=": "<=", "<": ">", "<=": ">=", "==": "==", "!=": "!="}
"""Each with what it is when its sides change places."""
SIZES = ((1024**3, "GiB"), (1024**2, "MiB"), (10**9, "GB"), (10**6, "MB"), (1024, "KiB"), (1000, "kB"))
_AT_END = re.compile(r"(?P<query>.+?)\s*(?:>=|<=|==|!=|>|<)\s*-?[\d.]+(?:e[-+]?\d+)?\s*", re.S)


@dataclass(frozen=True)
class Limit:
    """An observation of a Prometheus, its parameters, and which of its values are bad."""

    observe: str
    parameters: dict[str, Any]
    operator: str
    threshold: str


def limit_of(tree: Any, text: str) -> Limit:
    """Of the tree and the text of an expression. What has no single limit is counted, and must not be there."""
    found = _split(tree)
    if found is None:
        return _counted(text)
    query, operator, number = found
    several = not _single(query)
    if operator in ("==", "!=") and several:
        return _counted(text)
    at_end = _AT_END.fullmatch(text)
    shown_query = at_end["query"] if at_end and tree.rhs is not query else query.prettify()
    parameters: dict[str, Any] = {"query": " ".join(shown_query.split())}
    if several:
        parameters["take"] = "max" if operator.startswith(">") else "min"
    observe, more, threshold = _measured(query, operator, number)
    return Limit(observe, {**parameters, **more}, operator, threshold)


def shown(value: float, dimension: Dimension) -> str:
    """A number in the canonical unit as a book writes it, exactly."""
    if dimension is Dimension.RATIO:
        return f"{_plain(value * 100)}%"
    if dimension is Dimension.DURATION:
        return write_duration(value)
    if dimension in (Dimension.SIZE, Dimension.THROUGHPUT):
        factor, unit = next(((f, u) for f, u in SIZES if value and value % f == 0), (1, "B"))
        return _plain(value / factor) + unit + ("/s" if dimension is Dimension.THROUGHPUT else "")
    return _plain(value) + ("/s" if dimension is Dimension.RATE else "")


def _plain(value: float) -> str:
    """Without an exponent, which a book does not know."""
    return f"{value:.12f}".rstrip("0").rstrip(".")


def _counted(text: str) -> Limit:
    return Limit("prometheus.query", {"query": f"count({text}) or vector(0)"}, ">", "> 0")


def _split(tree: Any) -> tuple[Any, str, float] | None:
    """Query, comparison and number; None where the expression is not of that form."""
    tree = _bare(tree)
    if type(tree).__name__ != "BinaryExpr" or str(tree.op) not in COMPARISONS or tree.modifier is not None:
        return None
    left, right = _number(tree.lhs), _number(tree.rhs)
    if right is not None and left is None and not _compares(tree.lhs):
        return tree.lhs, str(tree.op), right
    if left is not None and right is None and not _compares(tree.rhs):
        return tree.rhs, COMPARISONS[str(tree.op)], left
    return None


def _compares(tree: Any) -> bool:
    """Whether a part of it is left out by a comparison of its own: it then has no value where all is well."""
    return any(type(one).__name__ == "BinaryExpr" and str(one.op) in COMPARISONS for one in nodes(tree))


def _bare(tree: Any) -> Any:
    while type(tree).__name__ == "ParenExpr":
        tree = tree.expr
    return tree


def _number(tree: Any) -> float | None:
    tree = _bare(tree)
    if type(tree).__name__ == "NumberLiteral":
        return float(tree.val)
    if type(tree).__name__ == "UnaryExpr":
        inner = _number(tree.expr)
        return None if inner is None else -inner
    return None


def _single(tree: Any) -> bool:
    """Whether it yields one series at most."""
    tree = _bare(tree)
    kind = type(tree).__name__
    if kind == "AggregateExpr":
        return tree.modifier is None and str(tree.op) not in ("topk", "bottomk", "count_values")
    if kind == "BinaryExpr":
        return all(_number(side) is not None or _single(side) for side in (tree.lhs, tree.rhs))
    return kind == "Call" and str(tree.func.name) in ("scalar", "vector", "absent", "absent_over_time", "time")


def _measured(query: Any, operator: str, number: float) -> tuple[str, dict[str, Any], str]:
    """Observation, parameters and threshold, by what the names of the metrics say. A plain number where they do not."""
    query, calls = _bare(query), set(_calls(query))
    quotient = type(query).__name__ == "BinaryExpr" and str(query.op) == "/" and _number(query.rhs) is None
    if _by_hundred(query):
        return "prometheus.ratio", {"percent": True}, f"{operator} {_plain(number)}%"
    if quotient and 0 <= number <= 1:
        return "prometheus.ratio", {}, f"{operator} {shown(number, Dimension.RATIO)}"
    if not any(str(one.op) in "*/%^" for one in nodes(query) if type(one).__name__ == "BinaryExpr"):
        dimension = _dimension(set(_metrics(query)), calls)
        if dimension is not None and number >= 0:
            return f"prometheus.{dimension}", {}, f"{operator} {shown(number, dimension)}"
    return "prometheus.query", {}, f"{operator} {_plain(number)}"


def _calls(tree: Any) -> Iterator[str]:
    for one in nodes(tree):
        if type(one).__name__ == "Call":
            yield str(one.func.name)


def _metrics(tree: Any) -> Iterator[str]:
    for one in nodes(tree):
        if type(one).__name__ == "VectorSelector":
            yield one.name or ""
        elif type(one).__name__ == "MatrixSelector":
            yield one.vector_selector.name or ""


def _by_hundred(query: Any) -> bool:
    """Whether a share is shown in percent."""
    if type(query).__name__ != "BinaryExpr" or str(query.op) not in "*/":
        return False
    if str(query.op) == "/":
        part = _bare(query.lhs)
        product = type(part).__name__ == "BinaryExpr" and str(part.op) == "*"
        return product and 100 in (_number(part.lhs), _number(part.rhs))
    sides = [(_number(query.lhs), query.rhs), (_number(query.rhs), query.lhs)]
    return any(
        number == 100 and any(type(one).__name__ == "BinaryExpr" and str(one.op) in "/-" for one in nodes(other))
        for number, other in sides
    )


def _dimension(names: set[str], calls: set[str]) -> Dimension | None:
    counts = calls & {"rate", "irate", "increase", "delta", "idelta", "deriv", "changes", "resets", "count_over_time"}

    def all_end(*suffixes: str) -> bool:
        return bool(names) and all(name.endswith(suffixes) for name in names)

    if "histogram_quantile" in calls:
        return Dimension.DURATION if all_end("_seconds_bucket") else None
    if "time" in calls:
        return Dimension.DURATION if all_end("_seconds", "_timestamp", "_time") else None
    if counts:
        plain = not any("_seconds" in name or "_bytes" in name for name in names)
        return Dimension.RATE if counts <= {"rate", "irate"} and plain else None
    if all_end("_seconds"):
        return Dimension.DURATION
    return Dimension.SIZE if all_end("_bytes") else None
