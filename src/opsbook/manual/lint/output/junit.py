"""Findings as JUnit XML: one test case a finding, hints passed with their text. A clean manual is one passed case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from opsbook.manual.lint.finding import Finding, Severity


def junit(findings: Sequence[Finding], texts: Mapping[str, Sequence[str]]) -> str:
    """A suite for each manual."""
    root = ElementTree.Element("testsuites", name="opsbook lint")
    for path in dict.fromkeys([*texts, *(finding.path for finding in findings)]):
        own = [finding for finding in findings if finding.path == path]
        failed = [finding for finding in own if finding.severity is not Severity.HINT]
        suite = ElementTree.SubElement(
            root, "testsuite", name=path, tests=str(max(1, len(own))), failures=str(len(failed))
        )
        if not own:
            ElementTree.SubElement(suite, "testcase", classname=path, name="no findings")
        for finding in own:
            case = ElementTree.SubElement(suite, "testcase", classname=path, name=f"{finding.rule} line {finding.line}")
            text = f"{finding.path}:{finding.line}: {finding.message}\n{finding.why}"
            if finding.severity is Severity.HINT:
                ElementTree.SubElement(case, "system-out").text = _printable(text)
            else:
                failure = ElementTree.SubElement(
                    case, "failure", message=_printable(finding.message), type=str(finding.fault)
                )
                failure.text = _printable(text)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def _printable(text: str) -> str:
    """XML 1.0 knows no control characters."""
    return "".join(char for char in text if char >= " " or char in "\n\t")
