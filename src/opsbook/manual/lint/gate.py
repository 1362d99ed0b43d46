"""Whether findings let a pipeline pass."""

from __future__ import annotations

from collections.abc import Iterable

from opsbook.manual.lint.finding import Finding, Severity


def fails(findings: Iterable[Finding], least: Severity | None) -> bool:
    """Whether any finding is at least as grave as `least`; None lets everything pass."""
    return least is not None and any(finding.severity.rank >= least.rank for finding in findings)
