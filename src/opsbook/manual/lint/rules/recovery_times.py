"""How long recoveries take, against how long they may."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.amounts import duration
from opsbook.manual.lint.context import Context
from opsbook.manual.lint.facts.periods import periods
from opsbook.manual.lint.finding import FaultClass, Severity
from opsbook.manual.lint.rule import Fault, rule

_TIME = re.compile(
    r"^\W*(?:(?:estimated|expected|typical|average|total)\s+)?(?:recovery|restore|restoration|resolution)\s+"
    r"(?:time|duration)[\s*]*[:：][\s*]*(.{1,60})",
    re.I,
)
_TAKES = re.compile(
    r"\b(?:restor(?:e|ing|ation)|recover(?:y|ing)|failover|rebuild(?:ing)?)\b[^.|]{0,50}?\b(?:takes?|lasts?|needs?|requires?)\s+"
    r"(?:about|around|approximately|roughly|up to|some|ca\.?|~)?\s*(\d.{1,40})",
    re.I,
)
_EXPECT = re.compile(
    r"\b(?:restor|recover|fail ?over|rebuild|snapshot)[^|]{0,80}?\b(?:expect|allow|plan(?: for)?|reckon with)\s+"
    r"(?:about|around|approximately|roughly|up to|some|ca\.?|~)?\s*(\d.{1,30})",
    re.I,
)
_ESTIMATE = re.compile(r"^\W*(?:estimated|expected|typical)\s+(?:time|duration)[\s*]*[:：][\s*]*(.{1,60})", re.I)
_THEN = re.compile(r"\b(?:then|plus|followed by|and another)\s+(?:about |another |up to )?(\d+\s*\w+)", re.I)
_UNIT = {"min": 60, "minute": 60, "h": 3600, "hr": 3600, "hour": 3600, "d": 86400, "day": 86400}


@rule(
    "OB526",
    "recovery-longer-than-objective",
    FaultClass.CONTRADICTION,
    Severity.ERROR,
    summary="A recovery that takes longer than the RTO allows",
    reason=(
        "The manual promises one time and gives another for the work itself. Either the objective is not kept in "
        "this case, and the manual must say so, or the procedure is too slow."
    ),
    source="https://sre.google/workbook/implementing-slos/",
    bad="**RTO**: 15 minutes\n\n## Database lost\n\n**Recovery Time:** 30-45 minutes",
    good="**RTO**: 1 hour\n\n## Database lost\n\n**Recovery Time:** 30-45 minutes",
)
def recovery_longer(context: Context) -> Iterator[Fault]:
    """`Recovery Time: …`, “the restore takes …” and estimates of restores against the RTO of the whole system;"
    " the shorter end of a range decides."""
    promised = [
        length[0]
        for objective in context.read.objectives
        if objective.kind == "RTO"
        and (objective.scope in ("system", "") or re.match(r"rpo\b", objective.scope, re.I))
        and (length := periods(re.sub(r"(\d)([a-z])", r"\1 \2", objective.value).replace(" h", " hour")))
    ]
    if not promised:
        return
    allowed = max(promised)
    for line, text in context.prose:
        told = _TIME.match(text) or _TAKES.search(text) or _EXPECT.search(text) or _of_restore(context, line, text)
        least = _least(told[1]) if told else None
        if told and least is not None and (more := _THEN.search(text)):
            least += _least(more[1]) or 0
        if least is not None and least > allowed and not re.search(r"\bRTO\b|objective", text, re.I):
            yield Fault(
                context.place(line),
                f"takes {told[1].strip(' *')}, the RTO is {_say(allowed)}" if told else "",
                subject="recovery",
            )


def _of_restore(context: Context, line: int, text: str) -> re.Match[str] | None:
    """`Estimated time: …` below a heading that speaks of restoring."""
    told = _ESTIMATE.match(text)
    if told is None:
        return None
    title = next((s.title for s in reversed(list(context.document.all_sections())) if s.line <= line), "")
    return told if re.search(r"restor|recover|failover", title, re.I) else None


def _least(text: str) -> float | None:
    """The shorter end in seconds: `30-45 minutes` is 30 minutes."""
    span = re.match(r"[~≈<>\s]*(\d+(?:\.\d+)?)\s*(?:-|–|to)\s*\d+(?:\.\d+)?\s*([a-z]+?)s?\b", text, re.I)
    if span and span[2].lower() in _UNIT:
        return float(span[1]) * _UNIT[span[2].lower()]
    length = duration(text)
    return length.seconds if length is not None and not re.match(r"\W*<", text) else None


def _say(seconds: float) -> str:
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds / 60:g} min"
