"""Rule tests for promtool: that each alert fires at a bad value, when, and not before its `for`.

Input is given where a rule reads: at opsbook's metric, at an exporter's, or at the series of a query of the book's own,
as far as `arithmetic` understands it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from opsbook.book.system import System
from opsbook.book.units import Dimension
from opsbook.checks.evaluate import State
from opsbook.watch.generate.arithmetic import Beyond
from opsbook.watch.generate.names import DOWN, STATE_METRIC, STUCK, TIME_METRIC, UNKNOWN, alert_name, of_check
from opsbook.watch.generate.options import Places
from opsbook.watch.generate.promql import duration, selector
from opsbook.watch.generate.rules import AlertRule, alert_of, group_of_opsbook, stale_after, summary
from opsbook.watch.generate.sight import Sight, Way, sights
from opsbook.watch.generate.slos import FAST, budget, burn_alert, burns
from opsbook.watch.generate.stimuli import USUAL, Line, Stimulus, fires, notation, stimuli
from opsbook.watch.generate.templates import filled_in
from opsbook.watch.generate.yaml_text import block

STEP = 60
"""Seconds between two evaluations of the rules."""
BEFORE = 30 * STEP
"""Seconds of usual values before a bad one, where it is held against its own past."""


@dataclass
class Tests:
    """The tests of an environment's rules, and which checks have none, with the reason."""

    found: list[dict[str, Any]] = field(default_factory=list)
    untested: dict[str, str] = field(default_factory=dict)


def tests_of(system: System, places: Places) -> Tests:
    """Every test of the rules of an environment."""
    tests = Tests()
    for sight in sights(system, places.exporters)[0]:
        try:
            tests.found += [_of_stimulus(system, sight, one, places) for one in stimuli(sight)]
        except Beyond as error:
            tests.untested[sight.check.id] = str(error)
    tests.found += [*_of_slos(system, places), *_of_opsbook(system)]
    return tests


def tests_text(system: System, places: Places, rules: str) -> str:
    """The file for `promtool test rules`; `rules` is the rule file, seen from there."""
    tests = tests_of(system, places)
    head = [
        f"# Tests of the rules of {system.model.system} in {system.name}, made by `opsbook generate rule-tests`.",
        "# Run them: promtool test rules FILE",
        *(f"# Not tested: {check}: {reason}" for check, reason in tests.untested.items()),
    ]
    body = block({"rule_files": [rules], "evaluation_interval": f"{STEP}s", "tests": tests.found})
    return "\n".join(head) + "\n" + body


def _of_stimulus(system: System, sight: Sight, one: Stimulus, places: Places) -> dict[str, Any]:
    """A value from the start, or after a while of usual ones where the past counts."""
    past = any(limit.baseline is not None for limit in sight.limits.values())
    begin = BEFORE if past else 0
    warm = begin + ceil(one.warm / STEP) * STEP
    hold = ceil(sight.check.for_.total_seconds() / STEP) * STEP
    expected = [_expected(alert_of(system, sight, state, places), sight, state, one) for state in fires(sight, one)]
    asked = [(warm + hold, expected)]
    if hold and expected:
        asked.insert(0, (begin + hold - STEP, []))
    step = min(STEP, int(one.warm / 4) or STEP)
    series = [_series(line, step, warm + hold, begin) for line in one.lines]
    return _test(f"{sight.check.id}: {one.state}", series, alert_name(sight.check.id), asked, step)


def _series(line: Line, step: int, seconds: int, begin: int) -> dict[str, str]:
    usual = notation(Line(line.series, USUAL), step, begin // step - 1) + " " if begin else ""
    return {"series": line.series, "values": usual + notation(line, step, (seconds - begin) // step)}


def _expected(rule: AlertRule, sight: Sight, state: State, one: Stimulus) -> dict[str, Any]:
    without = sight.way is Way.STATE or sight.spec.dimension in (Dimension.STATE, Dimension.TEXT)
    told = {**rule.annotations}
    told["summary"] = summary(sight, state, "" if without else filled_in(sight.spec.dimension, one.value))
    return _alert(rule, told, **dict(one.labels))


def _alert(rule: AlertRule, annotations: dict[str, str] | None = None, **labels: str) -> dict[str, Any]:
    told = annotations or dict(rule.annotations)
    return {
        "exp_labels": {**labels, **rule.labels},
        "exp_annotations": {name: text.replace('{{ "{{" }}', "{{") for name, text in told.items()},
    }


def _test(
    name: str, series: list[dict[str, str]], alert: str, asked: list[tuple[int, list[dict[str, Any]]]], step: int = STEP
) -> dict[str, Any]:
    tests = [{"eval_time": duration(at), "alertname": alert, "exp_alerts": alerts} for at, alerts in asked]
    return {"name": name, "interval": f"{step}s", "input_series": series, "alert_rule_test": tests}


def _of_slos(system: System, places: Places) -> Iterator[dict[str, Any]]:
    """Bad from the start, so that both windows are full of it; and good."""
    checks = {check.id: check for check in system.checks}
    for slo in system.model.slos:
        check = checks.get(slo.check)
        if check is None:
            continue
        rules = [burn_alert(system, slo, check, state, places) for state, f, _ in burns(slo) if f * budget(slo) < 1]
        seconds = int(FAST[1].total_seconds())
        line = Line(selector(STATE_METRIC, of_check(system, check)), 2.0)
        for word, number, alerts in (("burns", 2.0, [_alert(rule) for rule in rules]), ("does not burn", 0.0, [])):
            series = [_series(Line(line.series, number), STEP, seconds, 0)]
            if rules:
                yield _test(f"{slo.id}: {word}", series, rules[0].name, [(seconds, alerts)])


def _of_opsbook(system: System) -> Iterator[dict[str, Any]]:
    """Nothing comes of opsbook; a check is unknown."""
    rules = {rule.name: rule for rule in group_of_opsbook(system).rules if isinstance(rule, AlertRule)}
    hold = int(rules[DOWN].hold.total_seconds())
    yield _test("opsbook: gone", [], DOWN, [(hold - STEP, []), (hold, [_alert(rules[DOWN])])])
    for check in system.checks[:1]:
        old = ceil(stale_after(system) / STEP) * STEP
        series = [_series(Line(selector(TIME_METRIC, of_check(system, check)), 0.0), STEP, old + STEP, 0)]
        yield _test("opsbook: stuck", series, STUCK, [(old, []), (old + STEP, [_alert(rules[STUCK])])])
        hold = int(rules[UNKNOWN].hold.total_seconds())
        told = {"summary": f"{check.id} of {check.of} has had no value for a while"}
        alert = _alert(rules[UNKNOWN], told, check=check.id, component=check.of)
        series = [_series(Line(selector(STATE_METRIC, of_check(system, check)), 3.0), STEP, hold, 0)]
        yield _test(f"{check.id}: unknown", series, UNKNOWN, [(hold - STEP, []), (hold, [alert])])
