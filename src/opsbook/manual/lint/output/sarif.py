"""Findings as SARIF 2.1.0, which code hosts read as code scanning results.

Format: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from opsbook.manual.lint.finding import Finding, Severity
from opsbook.manual.lint.rule import Rule, all_rules

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.HINT: "note"}


def sarif(findings: Sequence[Finding], texts: Mapping[str, Sequence[str]]) -> str:
    """One run with the rules that spoke, and a fingerprint that survives moved lines."""
    spoke = {finding.rule for finding in findings}
    rules = [_rule(rule) for rule in all_rules() if rule.id in spoke]
    index = {rule["id"]: number for number, rule in enumerate(rules)}
    driver = {"name": "opsbook", "version": version("opsbook"), "rules": rules}
    results = [_result(finding, index[finding.rule], texts.get(finding.path, ())) for finding in findings]
    body = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }
    return json.dumps(body, indent=2, ensure_ascii=False)


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": "".join(part.capitalize() for part in rule.name.split("-")),
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.reason},
        **({"helpUri": rule.source} if rule.source.startswith("https://") else {}),
        "help": {"text": f"{rule.reason}\n\nSource: {rule.source}"},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"tags": [str(rule.fault)]},
    }


def _result(finding: Finding, index: int, lines: Sequence[str]) -> dict[str, Any]:
    source = lines[finding.line - 1].strip() if 0 < finding.line <= len(lines) else ""
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        "message": {"text": finding.message + (f" Fix: {finding.fix.text}" if finding.fix else "")},
        "locations": [_location(finding.path, finding.line, finding.column, finding.end_column)],
        "partialFingerprints": {"opsbook/v1": fingerprint(finding, source)},
    }
    if finding.also:
        result["relatedLocations"] = [_location(finding.path, line) for line in finding.also]
    return result


def _location(path: str, line: int, column: int = 0, end_column: int = 0) -> dict[str, Any]:
    region = {"startLine": line, **({"startColumn": column, "endColumn": end_column} if column else {})}
    return {"physicalLocation": {"artifactLocation": {"uri": path}, "region": region}}


def fingerprint(finding: Finding, source: str) -> str:
    """What stays the same when lines move: rule, message and the text of the line."""
    return hashlib.sha256(f"{finding.rule}\0{finding.message}\0{source}".encode()).hexdigest()[:24]
