"""Prometheus rules of the book's checks: one alert a state, by the check's thresholds and its `for`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from opsbook.book.checks import Check
from opsbook.book.system import System
from opsbook.checks.evaluate import State
from opsbook.watch.generate.names import (
    DOWN,
    RECORDED_VALUE,
    STATE_METRIC,
    STUCK,
    TIME_METRIC,
    UNKNOWN,
    alert_name,
    incident_severity,
    summary_subject,
    where,
)
from opsbook.watch.generate.options import Places
from opsbook.watch.generate.promql import duration, number, selector
from opsbook.watch.generate.sight import Sight, Unseen, Way, sights
from opsbook.watch.generate.templates import TEMPLATES, literal
from opsbook.watch.generate.yaml_text import block, scalar

GONE_FOR = timedelta(minutes=5)
"""How long nothing may come of opsbook before that is an alert: some scrapes may fail."""
STALE = timedelta(minutes=10)
"""How old the newest result of all may be; three rhythms where checks come less often."""
UNKNOWN_FOR = timedelta(minutes=10)
"""How long a check may be unknown: a component that restarts is unknown for a while."""
BOOK = "book:"
"""Begins the comment above the rules of a check: the check as JSON, from which the rules can be read back."""


@dataclass(frozen=True)
class Record:
    """A recording rule."""

    name: str
    expression: str
    labels: Mapping[str, str]

    def as_yaml(self) -> dict[str, Any]:
        """As a rule file has it."""
        return {"record": self.name, "expr": self.expression, "labels": dict(self.labels)}


@dataclass(frozen=True)
class AlertRule:
    """An alerting rule."""

    name: str
    expression: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    hold: timedelta = timedelta(0)

    def as_yaml(self) -> dict[str, Any]:
        """As a rule file has it."""
        held = {"for": duration(self.hold.total_seconds())} if self.hold else {}
        return {
            "alert": self.name,
            "expr": self.expression,
            **held,
            "labels": dict(self.labels),
            "annotations": dict(self.annotations),
        }


@dataclass
class Group:
    """Rules that are evaluated together, in order. `comments` stand above the rule of that number."""

    name: str
    interval: timedelta | None = None
    rules: list[Record | AlertRule] = field(default_factory=list)
    comments: dict[int, str] = field(default_factory=dict)


def groups_of_checks(system: System, seen: Iterable[Sight], places: Places) -> list[Group]:
    """One group for each component and rhythm."""
    groups: dict[tuple[str, timedelta | None], Group] = {}
    for sight in seen:
        check = sight.check
        at = (check.of, check.interval)
        if at not in groups:
            rhythm = f"/{duration(check.interval.total_seconds())}" if check.interval else ""
            groups[at] = Group(f"{'/'.join(where(system).values())}/{check.of}{rhythm}", check.interval)
        group = groups[at]
        group.comments[len(group.rules)] = f"{BOOK} {written(check)}"
        if sight.recorded:
            group.rules.append(Record(RECORDED_VALUE, sight.expression, sight.labels))
        group.rules += [alert_of(system, sight, state, places) for state in sight.limits]
    return list(groups.values())


def alert_of(system: System, sight: Sight, state: State, places: Places) -> AlertRule:
    """The alert of a check in one state."""
    check = sight.check
    labels = {**sight.labels, "severity": state.value, **incident_severity(system, check, state)}
    annotations = {"summary": summary(sight, state), "threshold": literal(sight.limits[state].text)}
    if check.procedure:
        annotations["procedure"] = check.procedure
        annotations["runbook_url"] = f"{places.opsbook}/procedures/{check.procedure}"
    return AlertRule(alert_name(check.id), sight.bad(state), labels, annotations, check.for_)


def summary(sight: Sight, state: State, value: str = "") -> str:
    """What the alert says in a line. `value` stands in the place of the template, for rule tests."""
    check, limit = sight.check, sight.limits[state]
    subject = literal(summary_subject(check.title or sight.spec.doc.rstrip("."), check.of))
    template = TEMPLATES.get(sight.spec.dimension)
    if sight.way is Way.STATE or template is None:
        return f"{subject}{state} ({literal(str(limit))})"
    return f"{subject}{value or template} is {state} ({literal(str(limit))})"


def group_of_opsbook(system: System) -> Group:
    """What tells that opsbook itself no longer watches, and that a check has no value."""
    here = where(system)
    title = literal(system.model.title or system.model.system)
    series = selector(STATE_METRIC, here)
    return Group(
        f"{'/'.join(here.values())}/opsbook",
        rules=[
            AlertRule(
                DOWN,
                f"absent({series})",
                {**here, "component": "opsbook", "severity": State.CRITICAL.value},
                {"summary": f"Nothing comes of the opsbook that watches {title}"},
                GONE_FOR,
            ),
            AlertRule(
                STUCK,
                f"time() - max({selector(TIME_METRIC, here)}) > {number(stale_after(system))}",
                {**here, "component": "opsbook", "severity": State.CRITICAL.value},
                {"summary": f"The opsbook that watches {title} answers, and checks nothing"},
            ),
            AlertRule(
                UNKNOWN,
                f"max by (check, component) ({series}) == 3",
                {**here, "severity": State.UNKNOWN.value},
                {"summary": "{{ $labels.check }} of {{ $labels.component }} has had no value for a while"},
                UNKNOWN_FOR,
            ),
        ],
    )


def stale_after(system: System) -> float:
    """Seconds after which the newest result is too old."""
    usual = system.model.intervals.check
    shortest = min((check.interval or usual for check in system.checks), default=usual)
    return max(STALE, 3 * shortest).total_seconds()


def written(check: Check) -> str:
    """The check as the book has it, in one line of JSON."""
    told = check.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for key, value in (("for", check.for_), ("interval", check.interval), ("timeout", check.timeout)):
        if key in told and value is not None:
            told[key] = duration(value.total_seconds())
    return json.dumps(told, ensure_ascii=False)


def as_text(groups: Iterable[Group], head: str) -> str:
    """The rule file."""
    lines = [*(f"# {line}".rstrip() for line in head.splitlines()), "groups:"]
    for group in groups:
        lines.append(f"  - name: {scalar(group.name)}")
        if group.interval:
            lines.append(f"    interval: {duration(group.interval.total_seconds())}")
        lines.append("    rules:")
        for n, rule in enumerate(group.rules):
            if n in group.comments:
                lines.append(f"      # {group.comments[n]}")
            lines += [f"      {line}" for line in block([rule.as_yaml()]).splitlines()]
    return "\n".join(lines) + "\n"


def rule_groups(system: System, places: Places) -> tuple[list[Group], list[Unseen]]:
    """All rules of an environment, and the checks that Prometheus cannot see."""
    from opsbook.watch.generate.slos import group_of_slos

    seen, unseen = sights(system, places.exporters)
    slos, more = group_of_slos(system, places)
    groups = [*groups_of_checks(system, seen, places), *slos, group_of_opsbook(system)]
    return [group for group in groups if group.rules], [*unseen, *more]


def rules_text(system: System, places: Places) -> str:
    """The rule file of an environment."""
    groups, unseen = rule_groups(system, places)
    here = where(system)
    head = [
        f"Rules of {here['system']} in {here['environment']}, made by `opsbook generate prometheus-rules` of its book.",
        "Change the book and make them anew; or change them here, and read them into the book by `opsbook import`.",
        *(f"Left out: {one.check.id}: {one.reason}" for one in unseen),
    ]
    return as_text(groups, "\n".join(head))
