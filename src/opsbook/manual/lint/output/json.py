"""Findings as JSON: an object with the list `findings`, each with line, rule, class, severity, message, why and fix."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from opsbook.manual.lint.finding import Finding


def as_json(findings: Sequence[Finding], _texts: Mapping[str, Sequence[str]]) -> str:
    """The findings with a count by severity."""
    count = Counter(str(finding.severity) for finding in findings)
    body = {"findings": [finding.as_json() for finding in findings], "summary": dict(sorted(count.items()))}
    return json.dumps(body, indent=2, ensure_ascii=False)
