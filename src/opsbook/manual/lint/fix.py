"""Applying the fixes of findings: the safe ones to the text, the others as a diff to look at."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from opsbook.manual.lint.finding import Edit, Finding


@dataclass(frozen=True)
class Fixed:
    """The text after the edits, and the findings whose edits are in it."""

    text: str
    applied: tuple[Finding, ...]


def apply_fixes(text: str, findings: Iterable[Finding], *, unsafe: bool = False) -> Fixed:
    """Apply the edits of safe fixes (with `unsafe` of all).

    Of overlapping edits the first finding's win, whole or not at all.
    """
    ending = "\r\n" if "\r\n" in text else "\n"
    lines = text.split(ending)
    taken: list[Edit] = []
    applied: list[Finding] = []
    for finding in findings:
        fix = finding.fix
        if fix is None or not fix.edits or not (fix.safe or unsafe):
            continue
        new = [edit for edit in fix.edits if edit not in taken]
        if any(_overlap(edit, other) for edit in new for other in taken) or not all(
            _inside(edit, lines) for edit in new
        ):
            continue
        taken += new
        applied.append(finding)
    for edit in sorted(taken, key=lambda e: (e.line, e.column), reverse=True):
        source = lines[edit.line - 1]
        lines[edit.line - 1] = source[: edit.column - 1] + edit.text + source[edit.end_column - 1 :]
    return Fixed(ending.join(lines), tuple(applied))


def fix_diff(text: str, findings: Sequence[Finding], name: str, *, unsafe: bool = True) -> str:
    """A unified diff of what the fixes would change, empty where they change nothing."""
    after = apply_fixes(text, findings, unsafe=unsafe).text
    return "".join(difflib.unified_diff(text.splitlines(keepends=True), after.splitlines(keepends=True), name, name))


def _inside(edit: Edit, lines: Sequence[str]) -> bool:
    return 0 < edit.line <= len(lines) and 0 < edit.column <= edit.end_column <= len(lines[edit.line - 1]) + 1


def _overlap(one: Edit, other: Edit) -> bool:
    if one.line != other.line:
        return False
    return (one.column < other.end_column and other.column < one.end_column) or one.column == other.column
