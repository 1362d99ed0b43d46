"""How Prometheus can see what a check observes: by its own query, through an exporter, or through opsbook's metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import cast

from opsbook.book.catalogue import ObservationSpec
from opsbook.book.checks import Check
from opsbook.book.system import System
from opsbook.book.threshold import Threshold
from opsbook.book.units import DURATION_UNITS, Dimension
from opsbook.checks.evaluate import State
from opsbook.observations.prometheus import (
    AlertParameters,
    DurationQueryParameters,
    QueryParameters,
    RatioQueryParameters,
    TargetParameters,
)
from opsbook.observations.registry import observations, read_parameters
from opsbook.watch.generate.blackbox import probes
from opsbook.watch.generate.exporters import Input, labels_of, seen_by
from opsbook.watch.generate.names import RECORDED_VALUE, STATE_METRIC, VALUE_METRIC, of_check
from opsbook.watch.generate.promql import bad_values, duration, number, selector


class Way(StrEnum):
    """Where the samples come from."""

    QUERY = "query"
    """The check's own PromQL, or what Prometheus knows of itself."""
    EXPORTER = "exporter"
    VALUE = "value"
    """opsbook's metric of the value."""
    STATE = "state"
    """opsbook's metric of the state: for what is no number, and where missing data counts as bad."""


@dataclass(frozen=True)
class Sight:
    """A check as Prometheus sees it. `expression` is recorded where opsbook does not export the value itself."""

    check: Check
    spec: ObservationSpec
    way: Way
    labels: Mapping[str, str]
    expression: str = ""
    inputs: tuple[Input, ...] = ()
    input_labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def limits(self) -> dict[State, Threshold]:
        """The thresholds that hold: the check's own, or else those of its observation. The worst first."""
        own = (self.check.critical, self.check.warning)
        pair = own if any(own) else (self.spec.critical, self.spec.warning)
        return {state: limit for state, limit in zip((State.CRITICAL, State.WARNING), pair, strict=True) if limit}

    @property
    def recorded(self) -> bool:
        """Whether a rule of its own records the value."""
        return self.way in (Way.QUERY, Way.EXPORTER)

    @property
    def series(self) -> str:
        """The series that holds the value, or the state where there is none."""
        metric = {Way.VALUE: VALUE_METRIC, Way.STATE: STATE_METRIC}.get(self.way, RECORDED_VALUE)
        return selector(metric, self.labels)

    def bad(self, state: State) -> str:
        """The expression that has samples while the check is this bad."""
        limit, worst = self.limits[state], "max"
        if self.way is Way.STATE:
            return f"max({self.series}) == 2" if state is State.CRITICAL else f"max({self.series}) >= 1 < 3"
        if limit.operator in ("<", "<="):
            worst = "min"
        value, usual = self.series, self.series
        if limit.baseline is not None:
            usual = f"quantile_over_time(0.5, {self.series}[{duration(limit.baseline)}])"
        if not self.recorded:  # two processes of opsbook, or one that was restarted, are one check
            value, usual = f"{worst}({value})", f"max({usual})"
        return self._or_absent(bad_values(value, limit, usual), state)

    def _or_absent(self, expression: str, state: State) -> str:
        if self.recorded and self.check.unknown == state:
            return f"{expression} or absent({self.series})"
        return expression


@dataclass(frozen=True)
class Unseen:
    """A check that Prometheus cannot see, and why."""

    check: Check
    reason: str


def sight_of(system: System, check: Check, exporters: frozenset[str]) -> Sight | Unseen:
    """How Prometheus sees a check, given the exporters that it scrapes."""
    spec, labels = observations()[check.observe].spec, of_check(system, check)
    if check.observe == "prometheus.up":
        return Unseen(check, "Prometheus cannot tell that it is down itself; opsbook does")
    if check.observe.startswith("prometheus."):
        return Sight(check, spec, Way.QUERY, labels, query_of(check, spec))
    seen = seen_by(check, exporters)
    if seen is not None:
        chosen = labels_of(check, seen)
        return Sight(check, spec, Way.EXPORTER, labels, seen.expression_of(chosen), seen.inputs, chosen)
    return Sight(check, spec, Way.VALUE if _by_value(check, spec) else Way.STATE, labels)


def sights(system: System, exporters: frozenset[str]) -> tuple[list[Sight], list[Unseen]]:
    """Every check of the environment, in the book's order."""
    unprobed = probes(system, "")[1] if "blackbox" in exporters else {}
    found = [
        sight_of(system, check, exporters - {"blackbox"} if check.id in unprobed else exporters)
        for check in system.checks
    ]
    return [one for one in found if isinstance(one, Sight)], [one for one in found if isinstance(one, Unseen)]


def _by_value(check: Check, spec: ObservationSpec) -> bool:
    """Whether the value alone tells how bad it is."""
    return check.unknown == "unknown" and spec.dimension not in (Dimension.STATE, Dimension.TEXT)


def query_of(check: Check, spec: ObservationSpec) -> str:
    """The PromQL of a `prometheus.*` check, in the canonical unit."""
    said = read_parameters(spec, check.with_)
    if isinstance(said, QueryParameters):
        text = " ".join(said.query.split()) if '"' not in said.query else said.query.strip()
        value = text if said.take == "only" else f"{said.take}({text})"
        factor = _factor(said)
        return value if factor == 1 else f"({value}) * {number(factor)}"
    if isinstance(said, AlertParameters):
        # Alerts of this book's own rules carry `check`: counted here they would keep each other firing.
        chosen = {"alertstate": "firing", "check": "", **said.labels}
        return f"count({selector('ALERTS', chosen)}) or vector(0)"
    targets = cast(TargetParameters, said)
    chosen = {name: value for name, value in (("job", targets.job), ("instance", targets.instance)) if value}
    up = selector("up", chosen)
    return f"min({up})" if check.observe == "prometheus.target_up" else f"count({up} == 0) or 0 * count({up})"


def _factor(said: QueryParameters) -> float:
    if isinstance(said, DurationQueryParameters):
        return DURATION_UNITS[said.unit]
    return 0.01 if isinstance(said, RatioQueryParameters) and said.percent else 1.0
