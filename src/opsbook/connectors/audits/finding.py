"""What an audit found, and what it could not ask. An answer that says nothing is never taken for a good one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from opsbook.connectors.contract import Fact, ReadFailed

Severity = Literal["low", "medium", "high", "critical", "unknown"]
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "unknown", "medium", "low")
"""Worst first; one that nobody has rated may be high."""
_NAMES: dict[str, Severity] = {
    "info": "low", "negligible": "low", "low": "low", "moderate": "medium", "medium": "medium", "high": "high",
    "critical": "critical",
}  # fmt: skip
SHOWN = 200
"""Findings in the detail; the value counts all."""


class NotAsked(ReadFailed):
    """A tool is absent, or cannot reach what it asks: nobody knows the answer."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(f"not asked: {why}", hint)


@dataclass(frozen=True)
class Finding:
    """One weakness: where it is and what it is. A secret's value is never part of it."""

    subject: str
    """A package, or a file with its line."""
    what: str
    """An advisory's id, or the kind of a secret."""
    severity: Severity = "unknown"
    version: str = ""
    fixed: str = ""
    """The version that mends it, where the source tells one."""
    words: str = ""

    def as_row(self) -> dict[str, str]:
        told = {"subject": self.subject, "version": self.version, "what": self.what, "severity": self.severity,
                "fixed": self.fixed, "words": self.words[:300]}  # fmt: skip
        return {name: value for name, value in told.items() if value}


@dataclass(frozen=True)
class Found:
    """The answer of one tool."""

    findings: tuple[Finding, ...]
    asked: int | None
    """How many packages or files were looked at, where the tool tells."""
    left_out: tuple[str, ...] = ()
    """What could not be asked of it, each with why."""


def severity_of(written: object) -> Severity:
    """A tool's own word as ours."""
    return _NAMES.get(str(written).lower(), "unknown")


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """In the order in which people should read them."""
    return sorted(findings, key=lambda one: (SEVERITIES.index(one.severity), one.subject, one.what))


def fact_of(found: Found) -> Fact:
    """The number of findings; the detail has them, and what was left out."""
    rows = worst_first(found.findings)
    by_severity = Counter(one.severity for one in rows)
    told = ", ".join(f"{by_severity[one]} {one}" for one in SEVERITIES if by_severity[one])
    named = ", ".join(dict.fromkeys(f"{one.subject} ({one.what})" for one in rows[:3]))
    parts = [f"{told}: {named}" + (" and more" if len(rows) > 3 else "") if rows else ""]
    if not rows and found.asked is not None:
        parts.append(f"none in {found.asked}")
    if found.left_out:
        parts.append(f"{len(found.left_out)} not asked: {found.left_out[0]}")
    detail = {"findings": [one.as_row() for one in rows[:SHOWN]], "by_severity": dict(by_severity),
              "asked": found.asked, "not_asked": list(found.left_out[:SHOWN])}  # fmt: skip
    return Fact(float(len(rows)), detail, "; ".join(part for part in parts if part))
