"""Findings as GitHub workflow commands, which the code host shows beside the lines.

Format: https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opsbook.manual.lint.finding import Finding, Severity

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.HINT: "notice"}


def github(findings: Sequence[Finding], _texts: Mapping[str, Sequence[str]]) -> str:
    """One command a finding."""
    return "\n".join(_command(finding) for finding in findings)


def _command(finding: Finding) -> str:
    title = _property(f"{finding.rule} {finding.fault}")
    place = f"line={finding.line},col={finding.column},endColumn={finding.end_column}"
    at = f"file={_property(finding.path)},{place},title={title}"
    text = finding.message + (f" — {finding.fix.text}" if finding.fix else "")
    return f"::{_LEVELS[finding.severity]} {at}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
