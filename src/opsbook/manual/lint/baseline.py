"""A baseline: the findings that are known and accepted for now, so that only new ones fail.

It holds fingerprints (rule, message, text of the line) with a count each, so moved lines do not make old findings new.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from opsbook.errors import UsageError
from opsbook.manual.lint.finding import Finding
from opsbook.manual.lint.output.sarif import fingerprint

Texts = Mapping[str, Sequence[str]]


def _key(finding: Finding, texts: Texts) -> str:
    lines = texts.get(finding.path, ())
    source = lines[finding.line - 1].strip() if 0 < finding.line <= len(lines) else ""
    return fingerprint(finding, source)


def write_baseline(findings: Sequence[Finding], texts: Texts) -> str:
    """The baseline file of these findings, as JSON with sorted keys so that its diffs read well."""
    known = [
        {"rule": f.rule, "path": f.path, "line": f.line, "message": f.message, "fingerprint": _key(f, texts)}
        for f in findings
    ]
    known.sort(key=lambda entry: (str(entry["path"]), str(entry["rule"]), str(entry["fingerprint"])))
    return json.dumps({"opsbook-baseline": 1, "findings": known}, indent=2, ensure_ascii=False) + "\n"


def without_known(findings: Sequence[Finding], texts: Texts, baseline: str) -> list[Finding]:
    """The findings that the baseline does not hold. Raises UsageError for a file that is no baseline."""
    try:
        body = json.loads(baseline)
        known = Counter(str(entry["fingerprint"]) for entry in body["findings"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"this is no lint baseline: {error}", "write one with `opsbook lint --write-baseline FILE`"
        ) from error
    left = []
    for finding in findings:
        key = _key(finding, texts)
        if known[key]:
            known[key] -= 1
        else:
            left.append(finding)
    return left
