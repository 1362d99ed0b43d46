"""Metrics written line by line: in blocks of text or loose YAML, and as bold names in running text."""

from __future__ import annotations

import re
from collections.abc import Iterable

from opsbook.manual.amounts import comparisons
from opsbook.manual.document import Fence, Paragraph
from opsbook.manual.facts import Metric
from opsbook.manual.inline import leading_strong
from opsbook.manual.outline import Part, split_pair
from opsbook.manual.vocabulary import says

# Blocks that a machine reads are read by their own grammar.
_MACHINE = re.compile(r"^\s*(?:-\s+)?(?:expr|apiVersion|kind|condition|query|threshold|services|alert)\s*:", re.M)
_NAMED = re.compile(
    r"^\s*(?:[-*•]\s+)?[\"']?(?P<name>[^:\"'=<>{}$|]{2,60}?)[\"']?\s*[:：]\s+[\"']?(?P<value>\S.*?)[\"']?\s*$"
)
_TITLE = re.compile(r"^(?P<name>[^:#{}$|]{2,60}?)\s*(?P<value>(?:[<>]=?|[≤≥])\s*\d[^:{}]*?)\s*[:：]\s*$")
_SEVERE = re.compile(r"\bcritical\b|\bpage\b|kritisch|crític|критич|严重|紧急|긴급|심각|緊急|🚨", re.I)
_WARNS = re.compile(r"\bwarn|warnung|aviso|advertencia|предупрежд|警告|경고", re.I)

_MARK = re.compile(
    r"\b(?:(?P<warning>warn(?:ing)?|aviso|warnung)|alert|critical|page|alarm|kritisch|crític[oa])\s*(?:at|if|when|bei|ab|@|:)\s*"
    r"(?P<value>[<>≥≤=]*\s*\d+(?:\.\d+)?\s?(?:%|ms\b|s\b|GB|MB)?)",
    re.I,
)
_THEN = re.compile(r"\s*(?:→|->|=>|⇒|➔)\s*")


def lines_of_block(fence: Fence, part: Part) -> list[Metric]:
    """`API latency: < 500ms` or `CPU > 90% (5 min):`, two lines at least, under a title that speaks of metrics."""
    if fence.language not in ("text", "yaml") or _MACHINE.search(fence.text) or not _about(part):
        return []
    found: list[Metric] = []
    for index, line in enumerate(fence.text.split("\n")):
        match = (_TITLE.match(line) or _NAMED.match(line)) if len(line) < 160 else None
        first = next(iter(comparisons(match["value"])), None) if match else None
        if (
            match
            and first is not None
            and (first.start == 0 or re.match(r"[\w ()]{1,30}$", match["value"][: first.start]))
        ):
            found.append(_made(fence.line + index, match["name"].strip(), match["value"].strip(), part))
    return found if len(found) >= 2 else []


def lines_of_text(block: Paragraph, part: Part) -> Iterable[Metric]:
    """`**HighErrorRate** (critical): error rate > 5%` as a line of its own."""
    if not _about(part):
        return
    for line in block.lines:
        strong = leading_strong(line.source)
        pair = split_pair(line.text, strong) if strong and len(line.text) < 160 else None
        if (
            pair
            and comparisons(pair[1])
            and not re.match(r"\W*(?:symptom|note|if|when|trigger|example)", pair[0], re.I)
        ):
            yield _made(line.line, pair[0], pair[1], part, line.text[: len(line.text) - len(pair[1])])


def _about(part: Part) -> bool:
    titles = (part.title, *part.path[-2:])
    told = re.compile(
        r"metric|monitor|\bkpi|indicator|threshold|alert|alarm|slo\b|umbral|schwell|指标|监控|阈值|告警|監視|지표|알림|모니터링|임계",
        re.I,
    )
    return any(told.search(title) for title in titles)


def _made(line: int, name: str, value: str, part: Part, before: str = "") -> Metric:
    told = " ".join((before or value, part.title, *part.path[-1:]))
    if _SEVERE.search(told):
        slot = {"critical": value}
    elif _WARNS.search(told):
        slot = {"warning": value}
    else:
        slot = {"critical" if says(part.title, "alert") else "normal": value}
    return Metric(line=line, metric=name, source="list", **slot)


def marked_ranges(text: str) -> tuple[str, dict[str, str]] | None:
    """`Disk (warn at 80%, critical at 90%)`: a name, and its ranges in brackets."""
    match = re.match(r"([^()（）:：]{2,60}?)\s*[(（]([^()（）]*)[)）]\W*$", text)
    slots: dict[str, str] = {}
    for level in _MARK.finditer(match[2]) if match else ():
        slots.setdefault("warning" if level["warning"] else "critical", level["value"].strip())
    return (match[1], slots) if match and slots else None


def with_action(text: str) -> tuple[str, str]:
    """`CPU > 70% → scale up`: what is watched, and what is done then."""
    pieces = _THEN.split(text, maxsplit=1)
    return (pieces[0], pieces[1]) if len(pieces) == 2 and comparisons(pieces[0]) else (text, "")
