"""Findings for a terminal: place, message, the source line with a caret, why, and the way out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from opsbook.manual.lint.finding import Finding, Severity

_WIDEST = 160
_COLOURS = {Severity.ERROR: "31", Severity.WARNING: "33", Severity.HINT: "36"}


def terminal(
    findings: Sequence[Finding], texts: Mapping[str, Sequence[str]], *, colour: bool = False, why: bool = True
) -> str:
    """One paragraph a finding, and a last line with the counts. `colour` adds ANSI colours, `why` the reasons."""
    parts = [_paragraph(finding, texts.get(finding.path, ()), colour=colour, why=why) for finding in findings]
    return "\n".join([*parts, summary(findings)])


def summary(findings: Sequence[Finding]) -> str:
    """2 errors, 1 warning in 1 manual."""
    if not findings:
        return "no findings"
    count = Counter(finding.severity for finding in findings)
    said = [f"{count[s]} {s}{'' if count[s] == 1 else 's'}" for s in Severity if count[s]]
    files = len({finding.path for finding in findings})
    return f"{', '.join(said)} in {files} manual{'' if files == 1 else 's'}"


def _paragraph(finding: Finding, lines: Sequence[str], *, colour: bool, why: bool) -> str:
    def paint(text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colour else text

    head = (
        f"{finding.path}:{finding.line}:{finding.column}: "
        f"{paint(str(finding.severity), _COLOURS[finding.severity])} {finding.rule} "
        f"{finding.fault}: {finding.message}"
    )
    said = [head]
    if 0 < finding.line <= len(lines):
        said += _marked(finding, lines[finding.line - 1])
    if finding.also:
        said.append(
            f"      also line{'' if len(finding.also) == 1 else 's'} "
            f"{', '.join(map(str, finding.also[:12]))}{' …' if len(finding.also) > 12 else ''}"
        )
    if why:
        said.append(f"      why: {finding.why}")
    if finding.fix:
        said.append(f"      fix: {finding.fix.text}")
    return "\n".join([*said, ""])


def _marked(finding: Finding, source: str) -> list[str]:
    """The source line and the caret under it; a long line is cut to the part that matters."""
    text = source.replace("\t", " ").rstrip()
    start = max(finding.column - 1, 0)
    end = min(max(finding.end_column - 1, start + 1), max(len(text), start + 1))
    cut = max(0, min(start - 40, len(text) - _WIDEST)) if len(text) > _WIDEST else 0
    shown = text[cut : cut + _WIDEST]
    length = max(1, min(end, cut + len(shown)) - start)
    gutter = f"{finding.line:>5} | "
    return [gutter + shown, " " * 5 + " | " + " " * (start - cut) + "^" * length]
