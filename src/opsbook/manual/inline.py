"""Running text: what a reader sees of it, its inline code and its links, with their columns."""

from __future__ import annotations

import html
import re

from opsbook.manual.model import CodeSpan, Link

# Longer lines are not prose; what lies beyond is not searched, so that no line can make reading slow.
LONGEST = 20_000

_TICKS = re.compile(r"`+")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\(\s*<?([^()\s<>]*(?:\([^()\s]*\)[^()\s<>]*)*)>?(?:\s+[\"'][^\"']*[\"'])?\s*\)")
_BADGE = re.compile(r"\[(!\[[^\[\]]*\]\([^()\s]*\))\]\(([^()\s]*)\)")
_REFERENCE = re.compile(r"\[([^\[\]]+)\]\[[^\[\]]*\]")
_URL = re.compile(r"<?((?:https?|redis|rediss|postgres|postgresql|mysql|amqp|s3|mongodb|ftp)://[^\s<>\"'`|]+)>?")
_MAIL = re.compile(r"<([\w.+-]+@[\w-]+(?:\.[\w-]+)+)>")
_STRONG = re.compile(r"(\*\*|__)(?=\S)(.{1,400}?)(?<=\S)\1")
_EMPHASIS = re.compile(r"(?<![\w*])(\*|_)(?=[^\s*_])([^*\n]{1,400}?)(?<=[^\s*_])\1(?![\w*])")
_STRIKE = re.compile(r"~~(?=\S)([^~\n]{1,400}?)~~")
_TAG = re.compile(
    r"</?(?:a|b|i|em|strong|br|code|kbd|sub|sup|span|u|small|img|p|div|details|summary)\b[^<>]{0,300}>", re.I
)
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_LEADING_STRONG = re.compile(r"\W{0,6}?(\*\*|__)(?=\S)(.{1,400}?)(?<=\S)\1")


def code_ranges(source: str) -> list[tuple[int, int, int]]:
    """(start, end, length of the ticks) of every code span, ticks included, as CommonMark pairs them."""
    runs = [(m.start(), m.end()) for m in _TICKS.finditer(source[:LONGEST])]
    by_length: dict[int, list[int]] = {}
    for index, (start, end) in enumerate(runs):
        by_length.setdefault(end - start, []).append(index)
    ranges: list[tuple[int, int, int]] = []
    index = 0
    while index < len(runs):
        start, end = runs[index]
        later = by_length[end - start]
        while later and later[0] <= index:
            later.pop(0)
        if later:
            close = later[0]
            ranges.append((start, runs[close][1], end - start))
            index = close + 1
        else:
            index += 1
    return ranges


def code_spans(source: str, line: int, column: int) -> tuple[CodeSpan, ...]:
    """The inline code of one line that begins at `column`."""
    found = []
    for start, end, ticks in code_ranges(source):
        inner = source[start + ticks : end - ticks]
        lead = len(inner) - len(inner.lstrip())
        found.append(CodeSpan(inner.strip(), line, column + start + ticks + lead))
    return tuple(found)


def links(source: str, line: int, column: int) -> tuple[Link, ...]:
    """Links, autolinks, mail addresses in angle brackets and bare URLs of one line, outside of inline code."""
    masked = _mask_code(source[:LONGEST])
    found: list[tuple[int, Link]] = []

    def take(match: re.Match[str], text: str, target: str) -> None:
        found.append((match.start(), Link(text, target, line, column + match.start())))

    for match in _BADGE.finditer(masked):
        take(match, plain(match[1]), match[2])
    for match in _LINK.finditer(masked):
        take(match, plain(source[match.start(1) : match.end(1)]), match[2])
    masked = _LINK.sub(lambda m: " " * len(m[0]), masked)
    for match in _URL.finditer(masked):
        target = match[1].rstrip(".,;:!?)*_")
        take(match, target, target)
    for match in _MAIL.finditer(masked):
        take(match, match[1], "mailto:" + match[1])
    return tuple(link for _, link in sorted(found, key=lambda pair: pair[0]))


def plain(source: str) -> str:
    """What a reader sees: no emphasis marks, link targets, backticks, tags or escapes."""
    source = source[:LONGEST]
    pieces, at = [], 0
    for start, end, ticks in code_ranges(source):
        pieces.append(_plain_outside_code(source[at:start]))
        pieces.append(source[start + ticks : end - ticks].strip())
        at = end
    if at == 0:
        return _plain_outside_code(source).strip()
    # Emphasis may enclose code; marks that were cut apart by it are left over at the seams.
    pieces.append(_plain_outside_code(source[at:]))
    return re.sub(r"\*\*|__(?=\W|$)|(?<!\S)__", "", "".join(pieces)).strip()


def leading_strong(source: str) -> str:
    """The bold run that opens a text, as plain text, or nothing."""
    match = _LEADING_STRONG.match(source[:LONGEST])
    return plain(match[2]) if match else ""


def _mask_code(source: str) -> str:
    masked = source
    for start, end, _ in code_ranges(source):
        masked = masked[:start] + " " * (end - start) + masked[end:]
    return masked


def _plain_outside_code(text: str) -> str:
    if not any(mark in text for mark in "[*_~<\\&"):
        return text
    text = _BADGE.sub(r"\1", text)
    text = _LINK.sub(r"\1", text)
    text = _REFERENCE.sub(r"\1", text)
    text = _MAIL.sub(r"\1", text)
    text = _STRONG.sub(r"\2", text)
    text = _STRONG.sub(r"\2", text)
    text = _EMPHASIS.sub(r"\2", text)
    text = _STRIKE.sub(r"\1", text)
    text = _TAG.sub("", text)
    text = _ESCAPE.sub(r"\1", text)
    return html.unescape(text) if "&" in text else text
