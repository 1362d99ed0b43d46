"""Escalation policies as paging services hold them: levels with targets and delays, in YAML or JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable

from opsbook.manual.amounts import duration
from opsbook.manual.document import Fence
from opsbook.manual.extract.contacts import channel_of
from opsbook.manual.extract.yaml_nodes import Entry, entries
from opsbook.manual.facts import Escalation

_POLICY = re.compile(r"escalat|on_?call_?chain", re.I)
_WHO = ("target", "targets", "who", "notify", "contact", "role", "team", "schedule", "user", "recipient", "to", "name")
_WHEN = (
    "within",
    "timeout",
    "delay",
    "after",
    "wait",
    "time",
    "response_time",
    "escalate_after",
    "escalation_delay_in_minutes",
    "timeout_minutes",
    "delay_minutes",
    "minutes",
)


def policy_levels(fence: Fence) -> Iterable[Escalation]:
    """The levels of the escalation policies that a block defines."""
    if fence.language not in ("yaml", "json") or not _POLICY.search(fence.text):
        return
    for entry in entries(fence.text, fence.line):
        for key, value in entry.values.items():
            if _POLICY.search(key):
                yield from _levels(value)


def _levels(value: object) -> Iterable[Escalation]:
    if isinstance(value, list):
        steps = [each for each in value if isinstance(each, Entry)]
        if len(steps) == len(value) and all(_who(step) for step in steps):
            yield from (_level(step, str(number)) for number, step in enumerate(steps, 1))
        return
    if isinstance(value, Entry):
        inner = [(name, each) for name, each in value.values.items() if isinstance(each, Entry) and _who(each)]
        if inner and len(inner) == len(value.values):
            yield from (_level(each, name, value.lines[name]) for name, each in inner)
        for name in ("levels", "rules", "steps", "policies", "chain", "tiers"):
            yield from _levels(value.values.get(name))


def _who(step: Entry) -> str:
    for key in _WHO:
        value = step.values.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
        if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
            return ", ".join(str(each) for each in value)
    return ""


def _level(step: Entry, number: str, line: int = 0) -> Escalation:
    within = ""
    for key in _WHEN:
        told = step.text(key)
        length = duration(f"{told} minutes" if told.isdigit() and ("minute" in key or key == "timeout") else told)
        if told and length is not None:
            within = length.text
            break
    who = _who(step)
    return Escalation(
        line=line or step.line,
        level=step.text("level", "tier", "step") or number,
        who=who,
        within=within,
        contact=channel_of(who),
    )
