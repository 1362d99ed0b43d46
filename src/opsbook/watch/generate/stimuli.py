"""Input series that bring a check into a wanted state, for rule tests."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from opsbook.book.threshold import Threshold
from opsbook.book.units import Dimension, Quantity
from opsbook.checks.evaluate import State
from opsbook.watch.generate.arithmetic import Beyond, Series, longest_range, parsed, series_of, value_of
from opsbook.watch.generate.names import STATE_NUMBERS
from opsbook.watch.generate.promql import number, selector
from opsbook.watch.generate.sight import Sight, Way

USUAL = 1.0
"""The value that came before, where one is held against its own past."""
MOST_SERIES = 4
"""Beyond this the search for input would take too long."""
RATE_WINDOW = 300.0
"""Seconds over which the table of exporters takes its rates."""
TRIED = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


@dataclass(frozen=True)
class Line:
    """A series that starts at a value and grows evenly."""

    series: str
    start: float
    each_second: float = 0.0


@dataclass(frozen=True)
class Stimulus:
    """Series, and what comes of them. `warm` is the seconds until rates are what they will be."""

    state: State
    lines: tuple[Line, ...]
    value: float
    warm: float = 0.0
    labels: tuple[tuple[str, str], ...] = ()
    """Those that the value brings along."""


def stimuli(sight: Sight) -> list[Stimulus]:
    """One for each state that the check can have by its thresholds. Raises Beyond where none can be made."""
    if sight.way is Way.STATE:
        states = [State.OK, *reversed(sight.limits)]
        return [
            Stimulus(one, (Line(sight.series, float(STATE_NUMBERS[one])),), float(STATE_NUMBERS[one])) for one in states
        ]
    if sight.way is Way.QUERY:
        return _of_query(sight)
    found = _by_state(sight.limits, _candidates(sight.limits.values(), sight.spec.dimension))
    if sight.way is Way.VALUE:
        return [Stimulus(state, (Line(sight.series, value),), value) for state, value in found.items()]
    return [_of_exporter(sight, state, value) for state, value in found.items()]


def fires(sight: Sight, one: Stimulus) -> list[State]:
    """Which alerts of the check it makes fire: what is critical is past its warning too, mostly."""
    if sight.way is Way.STATE:
        return [state for state in sight.limits if STATE_NUMBERS[one.state] >= STATE_NUMBERS[state]]
    return [state for state, limit in sight.limits.items() if limit.met_by(one.value, USUAL)]


def _by_state(limits: Mapping[State, Threshold], values: Iterable[float]) -> dict[State, float]:
    """The first value for each state."""
    found: dict[State, float] = {}
    for value in values:
        found.setdefault(_state(limits, value), value)
    return found


def _state(limits: Mapping[State, Threshold], value: float) -> State:
    return next((state for state, limit in limits.items() if limit.met_by(value, USUAL)), State.OK)


def _candidates(limits: Iterable[Threshold], dimension: Dimension) -> list[float]:
    """Values well away from the limits first, then near, then at them."""
    if dimension is Dimension.STATE:
        return [1.0, 0.0]
    edges: list[float] = []
    for limit in limits:
        assert isinstance(limit.limit, Quantity)
        edges += [limit.limit.value, *([limit.upper.value] if limit.upper else [])]
    edges = sorted(set(edges))
    between = [(low + high) / 2 for low, high in itertools.pairwise(edges)]
    if dimension is Dimension.RATIO:
        between.append((edges[-1] + 1) / 2)
    ordered = [*between, edges[0] / 2, edges[-1] * 2, edges[0] - 1, edges[-1] + 1, *edges]
    if dimension is Dimension.RATIO:  # a share outside of 0 to 1 is the last resort
        ordered.sort(key=lambda value: not 0 <= value <= 1)
    return ordered


def _of_exporter(sight: Sight, state: State, value: float) -> Stimulus:
    lines = tuple(
        Line(
            selector(one.metric, {**sight.input_labels, **one.labels}),
            one.times * value + one.plus,
            one.rate_times * value + one.each_second,
        )
        for one in sight.inputs
    )
    return Stimulus(state, lines, value, RATE_WINDOW if "rate(" in sight.expression else 0.0)


def _of_query(sight: Sight) -> list[Stimulus]:
    """By trying: what the expression yields of some values of its series."""
    tree = parsed(sight.expression)
    series, found = series_of(tree), dict[State, Stimulus]()
    if not series or len(series) > MOST_SERIES:
        raise Beyond(f"it has {len(series)} series")
    warm = longest_range(tree)
    for values in _assignments(series, sight):
        sample = value_of(tree, values)
        if sample is None or not math.isfinite(sample[1]):
            continue
        labels, value = sample
        state = _state(sight.limits, value)
        if state not in found:
            lines = tuple(_line(one, amount) for one, amount in values.items())
            found[state] = Stimulus(state, lines, value, warm, labels)
    return list(found.values())


def _assignments(series: list[Series], sight: Sight) -> Iterator[dict[Series, float]]:
    edges = _candidates(sight.limits.values(), sight.spec.dimension)
    tried = sorted({*TRIED, *(edge for edge in edges if edge >= 0)})
    for amounts in itertools.product(tried, repeat=len(series)):
        yield dict(zip(series, amounts, strict=True))


def _line(series: Series, amount: float) -> Line:
    text = selector(series.metric, dict(series.labels))
    return Line(text, 0.0, amount) if series.grows else Line(text, amount)


def notation(line: Line, step: float, count: int) -> str:
    """Its samples as promtool reads them."""
    if line.each_second:
        sign = "" if line.each_second < 0 else "+"
        return f"{number(line.start)}{sign}{number(line.each_second * step)}x{count}"
    return f"{number(line.start)}x{count}"
