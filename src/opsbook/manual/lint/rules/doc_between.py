"""Two manuals of one system that contradict each other."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.facts.databases import database_names
from opsbook.manual.lint.finding import FaultClass, Severity
from opsbook.manual.lint.rule import Fault, rule

_AB = "An example needs two manuals: see tests/unit/lint/test_between_manuals.py."


def _earlier(context: Context) -> Iterator[Context]:
    """The other manuals, so that a pair is told once: in the one whose name comes later."""
    for other in context.others:
        if other.document.name < context.document.name:
            yield other


@rule(
    "OB570",
    "promise-differs",
    FaultClass.CONTRADICTION,
    Severity.ERROR,
    summary="Two manuals of one system promise different objectives",
    reason=(
        "One of the two is believed on the day. The business planned with the shorter one, "
        "the backups were set up for the longer."
    ),
    source="the manuals themselves",
    bad=_AB,
    good=_AB,
    needs="two manuals",
)
def promise_differs(context: Context) -> Iterator[Fault]:
    """RTO, RPO and SLO of the same scope with other values."""
    for other in _earlier(context):
        theirs = {(o.kind, _scope(o.scope)): o for o in other.read.objectives}
        for objective in context.read.objectives:
            known = theirs.get((objective.kind, _scope(objective.scope)))
            if known is not None and known.value != objective.value:
                yield Fault(
                    context.place(objective.line),
                    (
                        f"{objective.kind} {objective.value} here, {known.value} in {other.document.name} line "
                        f"{known.line}"
                    ),
                )


def _scope(text: str) -> str:
    return "system" if re.search(r"system|overall|full", text, re.I) else text.lower()


@rule(
    "OB571",
    "threshold-differs",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="Two manuals of one system give a metric different limits",
    reason="What is normal by one manual is an incident by the other.",
    source="the manuals themselves",
    bad=_AB,
    good=_AB,
    needs="two manuals",
)
def threshold_differs(context: Context) -> Iterator[Fault]:
    """Metrics of the same name whose normal, warning or critical differ."""
    for other in _earlier(context):
        theirs = {_name(m.metric): m for m in other.read.metrics if m.source != "autoscaler"}
        for metric in context.read.metrics:
            known = theirs.get(_name(metric.metric))
            if known is None or metric.source == "autoscaler":
                continue
            for what, mine, yours in (
                ("normal", metric.normal, known.normal),
                ("warning", metric.warning, known.warning),
                ("critical", metric.critical, known.critical),
            ):
                if mine and yours and _figure(mine) != _figure(yours):
                    yield Fault(
                        context.place(metric.line),
                        f"{metric.metric}: {what} {mine} here, {yours} in {other.document.name} line {known.line}",
                        subject=f"{metric.line}",
                    )


def _name(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _figure(text: str) -> str:
    return "".join(re.findall(r"[<>]|\d+(?:\.\d+)?\s*(?:%|ms|min|s\b|h\b)?", text.lower())).replace(" ", "")


@rule(
    "OB572",
    "times-differ",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="Two manuals of one system give other response times, windows or retention",
    reason=(
        "Who answers how fast, when the system may be down and how long data are kept are "
        "promises; a system has one of each."
    ),
    source="the manuals themselves",
    bad=_AB,
    good=_AB,
    needs="two manuals",
)
def times_differ(context: Context) -> Iterator[Fault]:
    """Severities, windows of the same name and retention of the same thing."""
    for other in _earlier(context):
        severities = {s.name.split(" ")[0]: s for s in other.read.severities}
        for severity in context.read.severities:
            known = severities.get(severity.name.split(" ")[0])
            if known is not None and severity.response and known.response and severity.response != known.response:
                yield Fault(
                    context.place(severity.line),
                    (
                        f"{severity.name}: response {severity.response} here, {known.response} in "
                        f"{other.document.name} line {known.line}"
                    ),
                )
        kept = {r.what: r for r in other.read.retention}
        for retention in context.read.retention:
            old = kept.get(retention.what)
            if old is not None and old.keep != retention.keep:
                yield Fault(
                    context.place(retention.line),
                    f"{retention.what} kept {retention.keep} here, {old.keep} in {other.document.name} line {old.line}",
                )
        windows = {(w.frequency, w.name): w for w in other.read.maintenance_windows}
        for window in context.read.maintenance_windows:
            that = windows.get((window.frequency, window.name))
            if that is not None and (that.day, that.time) != (window.day, window.time) and window.time and that.time:
                yield Fault(
                    context.place(window.line),
                    (
                        f"{window.name} {window.day} {window.time} here, {that.day} {that.time} in "
                        f"{other.document.name} line {that.line}"
                    ),
                )


@rule(
    "OB573",
    "names-differ",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="Two manuals of one system use other databases or namespaces",
    reason=("Commands of one manual, pasted while following the other, meet another database or nothing at all."),
    source="the manuals themselves",
    bad=_AB,
    good=_AB,
    needs="two manuals",
)
def names_differ(context: Context) -> Iterator[Fault]:
    """The only database, and the only namespace, of each."""
    for other in _earlier(context):
        for what, mine, yours in (
            (
                "database",
                database_names(context.steps, context.document.lines),
                database_names(other.steps, other.document.lines),
            ),
            ("namespace", context.names.namespaces(), other.names.namespaces()),
        ):
            if len(mine) == 1 and len(yours) == 1 and set(mine) != set(yours):
                name, that = next(iter(mine)), next(iter(yours))
                line = next((n for n, text in enumerate(context.document.lines, 1) if name in text), 1)
                yield Fault(context.place(line, name), f"{what} {name} here, {that} in {other.document.name}")
