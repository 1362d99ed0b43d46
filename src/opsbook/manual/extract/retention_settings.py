"""Retention as tools are told it: settings, flags of commands, logrotate, lifecycles of stores, comments of scripts."""

from __future__ import annotations

import re
from collections.abc import Iterable

from opsbook.manual.amounts import Duration, duration
from opsbook.manual.document import Fence
from opsbook.manual.extract.yaml_nodes import Entry, entries
from opsbook.manual.facts import Retention

# Less than this is a cache or a session, not something kept.
_SHORTEST = 3600.0
_KEY = r"(?:[A-Za-z_][\w.-]*?)?(?:retention|keep(?![_-]?alive)|ttl_days|max_age|retain)[\w.-]*"
_SETTING = re.compile(rf"^\s*(?:-\s+)?(?:export\s+)?[\"']?({_KEY})[\"']?\s*[:=]\s*[\"']?(\d+)\s*([a-zA-Z]*)\b", re.I)
_FLAG = re.compile(
    r"(?<![\w-])--?([\w.-]*(?:retention|keep(?!-?alive)|older-than|vacuum-time|expire-after|max-age|days-to-keep)"
    r"[\w.-]*)[=\s]+[\"']?\+?(\d+)\s*([a-zA-Z]*)(?![\w.])",
    re.I,
)
_TTL_OF_BACKUP = re.compile(r"(?:backup|snapshot|schedule)\b.*--(ttl)[=\s]+[\"']?(\d+)\s*([a-zA-Z]+)", re.I)
_PERIODS = (
    ("d", re.compile(r"da(?:y|ily)", re.I)),
    ("h", re.compile(r"hour", re.I)),
    ("w", re.compile(r"week", re.I)),
    ("month", re.compile(r"month", re.I)),
    ("year", re.compile(r"year|annual", re.I)),
)
# The unit of these is days by the tools' own definition.
_IN_DAYS = re.compile(r"backup-retention-period|backup_?retention_?period", re.I)
_ROTATE = re.compile(r"^\s*rotate\s+(\d+)\s*$", re.M)
_ROTATES = re.compile(r"^\s*(daily|weekly|monthly|yearly|hourly)\s*$", re.M)
_EXPIRES = re.compile(
    r"\bexpiration(?:_?in_?days)?[\"']?\s*[:=]?\s*\{?\s*(?:[\"']?days[\"']?\s*[:=]\s*)?[\"']?(\d+)\b", re.I
)
_PHASE = re.compile(r"\bdelete[\"']?\s*:\s*\{?\s*[\"']?min_age[\"']?\s*:\s*[\"']?(\d+[a-z])\b")
_COMMENT = re.compile(r"^\s*(?:#|--|//)\s*(.{6,160})$")
_TIDIES = re.compile(
    r"\b(?:older than|keep|kept|retain(?:ed)?|retention)\b\W*(?:the\s+|only\s+|for\s+|of\s+|last\s+)*(?=\d)|"
    r"\bälter als\s+|\bmás de\s+|保留|保存期間|보관",
    re.I,
)


def settings(fence: Fence) -> Iterable[Retention]:
    """What a block sets, line by line; a line sets one thing."""
    for index, line in enumerate(fence.text.split("\n")):
        if len(line) >= 500:
            continue
        match = _SETTING.match(line) or _FLAG.search(line) or _TTL_OF_BACKUP.search(line)
        length = _length(match[1], match[2], match[3]) if match else None
        if match and length is not None:
            yield Retention(line=fence.line + index, what=_what(match[1]), keep=length.text)
    yield from _rotations(fence)
    yield from _expirations(fence)
    if fence.language == "yaml":
        yield from _tiers(fence)


def comments(fence: Fence) -> Iterable[Retention]:
    """`# Purge old sessions (keep 180 days)` over the command that does it."""
    for index, line in enumerate(fence.text.split("\n")):
        match = _COMMENT.match(line)
        said = _TIDIES.search(match[1]) if match else None
        length = duration(match[1][said.end() :]) if match and said else None
        if match and length is not None and length.start <= 2 and (length.seconds or 0) >= 86_400:
            yield Retention(line=fence.line + index, what=match[1].strip().lower(), keep=length.text)


def _length(name: str, number: str, unit: str) -> Duration | None:
    if not unit:
        unit = next((short for short, words in _PERIODS if words.search(name)), "")
        unit = unit or ("d" if _IN_DAYS.search(name) else "")
    length = duration(f"{number} {unit}") if unit else None
    return length if length is not None and (length.seconds or 0) >= _SHORTEST else None


def _what(name: str) -> str:
    bare = re.sub(r"[_.-]*(?:retention|keep|retain|days?|hours?|max_age|ttl|period|time)[_.-]*", " ", name, flags=re.I)
    return re.sub(r"[_.-]+", " ", bare).strip().lower() or name.lower()


def _rotations(fence: Fence) -> Iterable[Retention]:
    """logrotate keeps `rotate` files, one for each period."""
    if "{" not in fence.text:
        return
    for match in _ROTATE.finditer(fence.text):
        start = fence.text.rfind("{", 0, match.start())
        end = fence.text.find("}", match.end())
        period = _ROTATES.search(fence.text, max(start, 0), end if end >= 0 else len(fence.text))
        length = _length(period[1], match[1], "") if period else None
        if length is not None:
            before = fence.text[:start].rstrip().split("\n")[-1].strip() if start > 0 else ""
            yield Retention(line=_line(fence, match.start(1)), what=before or "logs", keep=length.text)


def _expirations(fence: Fence) -> Iterable[Retention]:
    """The lifecycle of an object store (`Expiration: {Days: 90}` in JSON, YAML or HCL) or of an index (`delete` by
    its `min_age`)."""
    for match in _PHASE.finditer(fence.text):
        yield Retention(line=_line(fence, match.start(1)), what="indices", keep=match[1])
    if not re.search(r"lifecycle|Rules|\bId\b|bucket", fence.text, re.I):
        return
    for match in _EXPIRES.finditer(fence.text):
        yield Retention(line=_line(fence, match.start(1)), what="objects of a bucket", keep=f"{match[1]}d")


def _tiers(fence: Fence) -> Iterable[Retention]:
    """`retention:` over daily, weekly, monthly and how many of each."""
    for entry in entries(fence.text, fence.line):
        for key, value in entry.values.items():
            if isinstance(value, Entry) and re.search(r"retention|keep\b", key, re.I):
                for name in value.values:
                    number = value.text(name)
                    length = _length(name, number, "") if number.isdigit() else None
                    if length is not None and not _SETTING.match(name):
                        yield Retention(line=value.lines[name], what=name.lower(), keep=length.text)


def _line(fence: Fence, at: int) -> int:
    return fence.line + fence.text.count("\n", 0, at)
