"""Checks of a book from the alerts of Prometheus' rule files.

An expression with one limit becomes the value and the threshold; any other is counted: none may be there. Two alerts of
one expression that differ in how bad they are become one check. Rules that were generated of a book become the checks
that they were made of, with the limits and times that stand in the rules now.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import promql_parser

from opsbook.book.catalogue import Catalogue
from opsbook.book.threshold import Threshold
from opsbook.book.units import Dimension, Quantity, parse_quantity
from opsbook.manual.extract.rule_files import AlertingRule, alerting_rules
from opsbook.manual.importing.rule_limits import Limit, limit_of, shown
from opsbook.manual.importing.sources import Open
from opsbook.manual.lift.inventory import slug, unique

CRITICAL = re.compile(r"crit|page|emerg|disaster|fatal|error|high|^(?:p|sev|s)[01]$", re.I)
OWN = re.compile(r"\bopsbook(?:_check|:)")
"""Metrics of opsbook: a check of them would hold a check against itself."""
NAME = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass
class RuleChecks:
    """The checks of some rule files, each with its place, and what a person must decide."""

    checks: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    decide: list[Open] = field(default_factory=list)


def checks_of_rules(
    files: Iterable[tuple[str, str]],
    catalogue: Catalogue,
    prometheus: str,
    procedures: Sequence[str] = (),
    taken: Iterable[str] = (),
) -> RuleChecks:
    """The checks of rule files, given as names and texts.

    `prometheus` is the component that is asked, `procedures` are those that the book has, `taken` are ids in use.
    """
    found, made = RuleChecks(), _Making(prometheus, procedures, set(taken))
    for name, text in files:
        generated: dict[str, list[AlertingRule]] = {}
        rules = list(alerting_rules(text))
        if not rules:
            found.decide.append(Open(f"{name}:1", "no alert could be read of it; is it YAML, as promtool takes it?"))
        for rule in rules:
            place = f"{name}:{rule.line}"
            if rule.book:
                generated.setdefault(str(rule.book["id"]), []).append(rule)
            elif OWN.search(rule.expression):
                if "check" in rule.labels and "slo" not in rule.labels:
                    found.decide.append(Open(place, f"{rule.name} is a rule of opsbook without the check it is of"))
            else:
                made.take(rule, place, found)
        found.checks += [(_again(own, catalogue), f"{name}:{own[0].line}") for own in generated.values()]
    return found


@dataclass
class _Making:
    """Checks in the making, by what they look at."""

    prometheus: str
    procedures: Sequence[str]
    taken: set[str]
    by_query: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)

    def take(self, rule: AlertingRule, place: str, found: RuleChecks) -> None:
        try:
            tree = promql_parser.parse(rule.expression)
        except ValueError as error:
            found.decide.append(Open(place, f"{rule.name}: its expression is no PromQL: {error}"))
            return
        limit = limit_of(tree, rule.expression)
        level = "critical" if not rule.severity or CRITICAL.search(rule.severity) else "warning"
        key = (limit.observe, str(limit.parameters), limit.operator)
        known = self.by_query.get(key)
        if known is not None and level not in known and known.get("for", "") == _hold(rule):
            known[level] = limit.threshold
            return
        check = self._new(rule, limit, level)
        self.by_query.setdefault(key, check)
        self._procedure(check, rule, place, found)
        found.checks.append((check, place))

    def _new(self, rule: AlertingRule, limit: Limit, level: str) -> dict[str, Any]:
        identity = unique(slug(NAME.sub("-", rule.name), "rule"), self.taken)
        self.taken.add(identity)
        title = rule.annotations.get("summary", "")
        hold = _hold(rule)
        return {
            "id": identity,
            "title": title if title and "{{" not in title and len(title) <= 80 else rule.name,
            "observe": limit.observe,
            "of": self.prometheus,
            "with": limit.parameters,
            level: limit.threshold,
            **({"for": hold} if hold else {}),
        }

    def _procedure(self, check: dict[str, Any], rule: AlertingRule, place: str, found: RuleChecks) -> None:
        """A runbook that the book has; of another one a person must decide."""
        address = rule.annotations.get("runbook_url") or rule.annotations.get("runbook") or ""
        word = re.sub(r"[#?].*$", "", address).rstrip("/").rpartition("/")[2].removesuffix(".md")
        for name in (rule.annotations.get("procedure", ""), slug(word)):
            if name and name in self.procedures:
                check["procedure"] = name
                return
        if address:
            found.decide.append(Open(place, f"{check['id']}: the procedure that {address} stands for"))


def _hold(rule: AlertingRule) -> str:
    try:
        seconds = parse_quantity(rule.hold) if rule.hold else None
    except ValueError:
        return ""
    return rule.hold if seconds and seconds.dimension is Dimension.DURATION and seconds.value > 0 else ""


def _again(rules: Sequence[AlertingRule], catalogue: Catalogue) -> dict[str, Any]:
    """The check that rules were made of, with what was changed in them since."""
    check = dict(rules[0].book)
    spec = catalogue.observations.get(str(check.get("observe")))
    limits: dict[str, str] = {}
    for rule in rules:
        written = rule.annotations.get("threshold", "").replace('{{ "{{" }}', "{{")
        if rule.severity in ("critical", "warning"):
            limits[rule.severity] = _as_it_is(rule, written, spec.dimension if spec else Dimension.COUNT)
    own = {level: str(check.pop(level)) for level in ("warning", "critical") if level in check}
    by_itself = {
        level: str(limit.text)
        for level, limit in (("warning", spec and spec.warning), ("critical", spec and spec.critical))
        if limit
    }
    if own or limits != by_itself:
        check |= limits
    hold = _hold(rules[0])
    check.pop("for", None)
    procedure = rules[0].annotations.get("procedure", "")
    check.pop("procedure", None)
    return {**check, **({"for": hold} if hold else {}), **({"procedure": procedure} if procedure else {})}


_NUMBER = r"(-?[\d.]+(?:e[-+]?\d+)?|[-+]Inf)"
_END = r"(?: or absent\(.*\))?$"
_RANGES = (
    ("outside", re.compile(rf" < {_NUMBER} or .* > {_NUMBER}{_END}")),
    ("within", re.compile(rf" >= {_NUMBER} <= {_NUMBER}{_END}")),
)
_SHARE = re.compile(rf" (>=|<=|==|!=|>|<) {_NUMBER} \* (?:max\()?quantile_over_time")
_PLAIN = re.compile(rf" (>=|<=|==|!=|>|<) {_NUMBER}{_END}")


def _as_it_is(rule: AlertingRule, written: str, dimension: Dimension) -> str:
    """The threshold as it was written where the rule still says the same; else what the rule says now."""
    if "opsbook_check_state" in rule.expression:
        return written
    before = Threshold.parse(written)
    for word, pattern in _RANGES:
        if found := pattern.search(rule.expression):
            now = f"{word} {shown(float(found[1]), dimension)}..{shown(float(found[2]), dimension)}"
            return written if _same(before, Threshold.parse(now)) else now
    if found := _SHARE.search(rule.expression):
        past = written.partition(" of ")[2]
        now = f"{found[1]} {shown(float(found[2]), Dimension.RATIO)} of {past}"
        return written if _same(before, Threshold.parse(now)) else now
    if found := _PLAIN.search(rule.expression):
        if dimension is Dimension.STATE:
            return "is down" if float(found[2]) == 0 else "is up"
        now = f"{found[1]} {shown(float(found[2]), dimension)}"
        return written if _same(before, Threshold.parse(now)) else now
    return written


def _same(one: Threshold, other: Threshold) -> bool:
    def near(a: Quantity | str | None, b: Quantity | str | None) -> bool:
        if not isinstance(a, Quantity) or not isinstance(b, Quantity):
            return a == b
        return abs(a.value - b.value) <= 1e-9 * max(abs(a.value), abs(b.value), 1.0)

    return one.operator == other.operator and near(one.limit, other.limit) and near(one.upper, other.upper)
