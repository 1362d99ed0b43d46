"""The manual against itself: thresholds, escalation, intervals."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.finding import FaultClass, Severity
from opsbook.manual.lint.rule import Fault, rule

_SHARE = re.compile(r"([<>≤≥])\s*=?\s*(\d+(?:\.\d+)?)\s*%")


_RESOURCES = {"cpu": r"\bcpu\b", "memory": r"\bmemory\b|\bram\b", "disk": r"\bdisk\b|\bstorage\b"}


@rule(
    "OB541",
    "thresholds-overlap",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="A value that is normal by one line and an alert by another",
    reason=("Between the two limits the system is healthy and alarming at once; people learn to ignore the alert."),
    source="https://sre.google/sre-book/monitoring-distributed-systems/",
    bad=(
        "## Key Metrics to Monitor\n"
        "\n"
        "- Memory usage (<85%)\n"
        "- CPU usage (<70%)\n"
        "\n"
        "**Warning alerts:**\n"
        "- Memory usage (>80%)"
    ),
    good=(
        "## Key Metrics to Monitor\n"
        "\n"
        "- Memory usage (<75%)\n"
        "- CPU usage (<70%)\n"
        "\n"
        "**Warning alerts:**\n"
        "- Memory usage (>80%)"
    ),
)
def thresholds_overlap(context: Context) -> Iterator[Fault]:
    """Percent limits of one resource; “resource usage” stands for CPU, memory and disk."""
    metrics = context.read.metrics
    normal: list[tuple[str, float, int]] = []
    for metric in metrics:
        found = _SHARE.search(metric.normal)
        kind = _resource(metric.metric)
        if found and kind and found[1] in "<≤" and not re.search(r"free|available|remaining", metric.metric, re.I):
            normal.append((kind, float(found[2]), metric.line))
    for metric in metrics:
        own, told_at = _SHARE.search(metric.normal), _SHARE.search(metric.warning or metric.critical)
        if own and told_at and own[1] in "<≤" and told_at[1] in ">≥" and float(own[2]) > float(told_at[2]):
            yield Fault(
                context.place(metric.line),
                f"{metric.metric} is normal up to {own[2]} % and alerts above {told_at[2]} %",
            )
            continue
        for told in (metric.warning, metric.critical):
            found = _SHARE.search(told)
            if (
                not found
                or found[1] not in ">≥"
                or re.search(r"free|available|remaining|pod|node|container|host", metric.metric, re.I)
            ):
                continue
            kinds = (
                ("cpu", "memory", "disk")
                if re.search(r"\bresource", metric.metric, re.I)
                else (_resource(metric.metric),)
            )
            over = [
                (name, upto, line)
                for name, upto, line in normal
                if name in kinds and upto > float(found[2]) and line != metric.line
            ]
            if over and not any(line == metric.line for _, _, line in normal):
                name, upto, line = over[0]
                yield Fault(
                    context.place(metric.line),
                    f"alerts above {found[2]} %, but {name} is normal up to {upto:g} % (line {line})",
                )


def _resource(text: str) -> str:
    if re.search(r"redis|pod|connection|pool|heap|jvm|buffer|cache|node|container|limit|queue", text, re.I):
        return ""
    return next((name for name, pattern in _RESOURCES.items() if re.search(pattern, text, re.I)), "")


@rule(
    "OB542",
    "normal-and-alert-crossed",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="Warning and critical thresholds in the wrong order",
    reason="A critical limit that is reached before the warning makes the warning pointless.",
    source="https://prometheus.io/docs/practices/alerting/",
    bad=("| Metric | Normal | Warning | Critical |\n|---|---|---|---|\n| CPU usage | <70% | >90% | >80% |"),
    good=("| Metric | Normal | Warning | Critical |\n|---|---|---|---|\n| CPU usage | <70% | >80% | >90% |"),
)
def crossed(context: Context) -> Iterator[Fault]:
    """One metric of one line whose limits point the same way in the same unit."""
    number = re.compile(r"^\s*([<>])\s*=?\s*(\d+(?:\.\d+)?)\s*(%|ms|s|MB|GB|min|m|h|d|days?)?\s*$")
    for metric in context.read.metrics:
        warning, critical = number.match(metric.warning), number.match(metric.critical)
        if warning and critical and warning[1] == critical[1] and (warning[3] or "") == (critical[3] or ""):
            low, high = float(warning[2]), float(critical[2])
            if (warning[1] == ">" and high < low) or (warning[1] == "<" and high > low):
                yield Fault(
                    context.place(metric.line), f"critical {metric.critical} comes before warning {metric.warning}"
                )


@rule(
    "OB543",
    "escalation-to-nobody",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="Escalation to somebody who is not there, or whom nobody can reach",
    reason=(
        "An incident that must be answered in minutes at any hour goes to a person with "
        "office hours, or to a role for which the manual has no contact."
    ),
    source="https://sre.google/workbook/on-call/",
    bad=(
        "## Emergency Contacts\n"
        "\n"
        "| Role | Contact | Availability |\n"
        "|---|---|---|\n"
        "| On-Call | a@shop.dev | 24/7 |\n"
        "| Lead | b@shop.dev | Mon-Fri 9-5 |\n"
        "\n"
        "**Escalation Path**: On-Call → Lead\n"
        "\n"
        "## Incident Response\n"
        "\n"
        "### Response Times\n"
        "\n"
        "| Severity | Response Time | Resolution Time |\n"
        "|---|---|---|\n"
        "| P0 | 15 minutes | 1 hour |\n"
        "| P1 | 1 hour | 4 hours |"
    ),
    good=(
        "## Emergency Contacts\n"
        "\n"
        "| Role | Contact | Availability |\n"
        "|---|---|---|\n"
        "| On-Call | a@shop.dev | 24/7 |\n"
        "| Lead | b@shop.dev | 24/7 |\n"
        "\n"
        "**Escalation Path**: On-Call → Lead\n"
        "\n"
        "## Incident Response\n"
        "\n"
        "### Response Times\n"
        "\n"
        "| Severity | Response Time | Resolution Time |\n"
        "|---|---|---|\n"
        "| P0 | 15 minutes | 1 hour |\n"
        "| P1 | 1 hour | 4 hours |"
    ),
)
def escalation_to_nobody(context: Context) -> Iterator[Fault]:
    """Levels whose contact has office hours or none at all, where an answer within an hour is promised."""
    manual = context.read
    if not manual.contacts or not any(
        re.match(r"immediate|(?:[1-5]?\d)min|1h$", s.response or "") for s in manual.severities
    ):
        return
    for level in manual.escalation:
        who = _role(level.who or level.level)
        if not who:
            continue
        contact = next(
            (c for c in manual.contacts if _role(c.role) and (_role(c.role).startswith(who) or who in _role(c.role))),
            None,
        )
        if (
            contact is not None
            and re.search(r"mon|weekday|business|office|9\s*(?:am)?\s*[-–]\s*[56]", contact.availability, re.I)
            and "24" not in contact.availability
        ):
            yield Fault(
                context.place(level.line),
                (
                    f"{level.who} is there {contact.availability} only (line {contact.line}), a response is "
                    f"promised at any hour"
                ),
                subject="escalation",
            )
        elif (
            contact is None
            and not level.contact
            and (
                any(level.line == other.line for other in manual.escalation if other is not level)
                or (
                    len(manual.contacts) > 2
                    and "engineer" not in who
                    and not _shares_word(who, [c.role for c in manual.contacts])
                )
            )
        ) and re.search(r"cto|lead|manager|head|director|admin|engineer|vp|dba", who):
            yield Fault(context.place(level.line), f"{level.who} has no contact in this manual", subject="escalation")


def _shares_word(who: str, roles: list[str]) -> bool:
    """Whether a role of the escalation is, in other words, one of the contacts."""
    small = frozenset({"and", "or", "the", "of", "team"})
    own = set(who.split()) - small
    return any(own & (set(_role(role).replace("/", " ").split()) - small) for role in roles)


def _role(text: str) -> str:
    return re.sub(r"[^a-z ]", "", text.lower().replace("-", "")).strip()


@rule(
    "OB548",
    "rotation-before-secret",
    FaultClass.CONTRADICTION,
    Severity.HINT,
    summary="The same thing promised at two intervals",
    reason="Two places give two intervals for one duty; which one holds is left to the reader.",
    source="the manual itself",
    bad=(
        "### Monthly Tasks\n\n- Rotate database passwords\n\n### Checklist\n\n- [ ] Rotate database passwords quarterly"
    ),
    good=(
        "### Quarterly Tasks\n"
        "\n"
        "- Rotate database passwords\n"
        "\n"
        "### Checklist\n"
        "\n"
        "- [ ] Rotate database passwords quarterly"
    ),
)
def two_intervals(context: Context) -> Iterator[Fault]:
    """Rotation of credentials or passwords under one interval, told at another."""
    found: list[tuple[int, str]] = []
    from opsbook.manual.document import Prose

    for block in context.document.walk():
        if isinstance(block, Prose) and re.search(r"rotat\w* .{0,30}(?:credential|password|secret)", block.text, re.I):
            own = re.search(r"\b(daily|weekly|monthly|quarterly|annual(?:ly)?|yearly)\b", block.text, re.I)
            above = re.search(
                r"\b(daily|weekly|monthly|quarterly|annual(?:ly)?|yearly)\b", " ".join(block.section_path[-1:]), re.I
            )
            interval = own or above
            if interval:
                found.append((block.line, interval[1].lower()))
    if len({interval for _, interval in found}) > 1:
        first, other = found[0], next(entry for entry in found if entry[1] != found[0][1])
        yield Fault(context.place(other[0]), f"{other[1]} here, {first[1]} at line {first[0]}")


@rule(
    "OB549",
    "promise-twice",
    FaultClass.CONTRADICTION,
    Severity.ERROR,
    summary="One objective with two values in one manual",
    reason="Both are called the RTO or RPO of the same thing; which one was promised nobody can tell from the manual.",
    source="the manual itself",
    bad="**RTO**: 4 hours\n\n## Recovery\n\n- Recovery Time Objective (RTO): 2 hours",
    good="**RTO**: 4 hours\n\n## Recovery\n\n- Recovery Time Objective (RTO): 4 hours",
)
def promise_twice(context: Context) -> Iterator[Fault]:
    """RTO and RPO of the same scope, outside of tables that compare cases."""
    told: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for objective in context.read.objectives:
        line = context.document.lines[objective.line - 1]
        if objective.kind.upper() in ("RTO", "RPO") and not line.lstrip().startswith("|"):
            key = (objective.kind.upper(), objective.scope.lower())
            told.setdefault(key, []).append((objective.value, objective.line))
    for (kind, _), places in told.items():
        if len(places) != 2:  # more than two are cases that are compared
            continue
        (first, at), (second, here) = places
        if first != second and at != here and _same_section(context, at, here):
            yield Fault(context.place(here), f"{kind} {second} here, {first} at line {at}")


def _same_section(context: Context, one: int, other: int) -> bool:
    """Whether two lines speak of the same thing: neither stands under a heading that names a case of its own."""
    cases = re.compile(
        r"scenario|tier|level|failure|outage|redis|cache|disaster \d|case|loss|region|corrupt|component", re.I
    )
    paths = [block.section_path for block in context.document.walk() if block.line in (one, other)]
    return not any(cases.search(" ".join(path)) for path in paths)
