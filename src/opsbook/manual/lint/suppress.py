"""Findings that the manual itself answers: `<!-- opsbook: ignore OB204 the pool is private -->`.

The comment speaks for its own line, the next line of text or the whole block or list that follows; with `ignore-file`
for the whole manual. A comment without a reason is itself a finding (rule OB590). In shell blocks `# opsbook: ignore …`
does the same for its line and the next command; in a book, for its line and the next one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from opsbook.manual.document import Document
from opsbook.manual.lint.finding import Finding

_COMMENT = re.compile(
    r"(?:<!--|#|--)\s*opsbook:\s*(?P<verb>ignore(?:-file)?)\s+(?P<ids>OB\d+(?:\s*,\s*OB\d+)*)\s*(?P<reason>.*?)\s*(?:-->)?\s*$"
)


@dataclass(frozen=True)
class Suppression:
    """Rules that are answered between two lines, and why."""

    ids: frozenset[str]
    first: int
    last: int
    reason: str
    line: int


@dataclass(frozen=True)
class Suppressions:
    """All answers of a manual."""

    entries: tuple[Suppression, ...]

    def left(self, findings: list[Finding]) -> list[Finding]:
        """The findings that nothing answers. An answer without a reason answers nothing."""
        return [finding for finding in findings if not any(_answers(entry, finding) for entry in self.entries)]


def _answers(entry: Suppression, finding: Finding) -> bool:
    return bool(entry.reason) and finding.rule in entry.ids and entry.first <= finding.line <= entry.last


def suppressions(document: Document) -> Suppressions:
    """Read the answers of a manual."""
    found = []
    for number, line in enumerate(document.lines, 1):
        match = _COMMENT.search(line)
        if not match:
            continue
        ids = frozenset(part.strip() for part in match["ids"].split(","))
        first, last = (1, len(document.lines)) if match["verb"] == "ignore-file" else (number, _reach(document, number))
        found.append(Suppression(ids, first, last, match["reason"].strip(" -—:"), number))
    return Suppressions(tuple(found))


def _reach(document: Document, number: int) -> int:
    """The last line a comment speaks for: the block that follows it, or the next line inside a block."""
    for fence in document.fences():
        if fence.line <= number <= fence.end_line:
            end = number + 1
            while end < fence.end_line and document.lines[end - 1].rstrip().endswith("\\"):
                end += 1
            return end
    if not document.blocks:
        return number + 1
    following = [block for block in document.walk() if block.line > number]
    if not following:
        return number
    nearest = min(following, key=lambda block: block.line)
    return max(nearest.end_line, number)
