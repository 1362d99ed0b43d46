"""The formats in which findings are told."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from opsbook.manual.document import read_document
from opsbook.manual.lint import Choice, Finding, lint_document
from opsbook.manual.lint.output import FORMATS, github, junit, sarif, terminal
from opsbook.manual.lint.reference import reference
from opsbook.manual.lint.rule import all_rules

TEXT = "# A\n\n```bash\nkubectl top pod api-0 -n shop --watch\nredis-cli KEYS 'a:*'\n```\n"
TEXTS = {"a.md": TEXT.split("\n")}


@pytest.fixture
def findings() -> list[Finding]:
    return lint_document(read_document(TEXT, "a.md"), choice=Choice(select=("OB301", "OB603")))


def test_the_terminal_shows_the_line_and_a_caret(findings: list[Finding]) -> None:
    told = terminal(findings, TEXTS).split("\n")
    assert told[0].startswith("a.md:4:31: error OB301 will-not-run: kubectl top pod has no flag --watch")
    assert told[1] == "    4 | kubectl top pod api-0 -n shop --watch"
    assert told[2] == "      | " + " " * 30 + "^" * 7
    assert told[-1] == "1 error, 1 warning in 1 manual"


def test_the_terminal_has_colour_only_when_asked(findings: list[Finding]) -> None:
    assert "\x1b[" not in terminal(findings, TEXTS)
    assert "\x1b[31merror\x1b[0m" in terminal(findings, TEXTS, colour=True)


def test_json_has_the_agreed_keys(findings: list[Finding]) -> None:
    first = json.loads(FORMATS["json"](findings, TEXTS))["findings"][0]
    assert {"line", "rule", "class", "severity", "message", "why", "column", "also", "fix"} <= first.keys()
    assert (first["line"], first["class"], first["severity"]) == (4, "will-not-run", "error")


def test_sarif_names_its_rules_and_places(findings: list[Finding]) -> None:
    run = json.loads(sarif(findings, TEXTS))["runs"][0]
    result = run["results"][0]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "OB301"
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 4, "startColumn": 31, "endColumn": 38}


def test_sarif_keeps_its_fingerprint_when_lines_move(findings: list[Finding]) -> None:
    moved_text = "\n\n" + TEXT
    moved = lint_document(read_document(moved_text, "a.md"), choice=Choice(select=("OB301", "OB603")))
    prints = [
        [
            r["partialFingerprints"]["opsbook/v1"]
            for r in json.loads(sarif(f, {"a.md": t.split("\n")}))["runs"][0]["results"]
        ]
        for f, t in ((findings, TEXT), (moved, moved_text))
    ]
    assert prints[0] == prints[1]


def test_junit_fails_what_is_no_hint_and_passes_a_clean_manual(findings: list[Finding]) -> None:
    root = ElementTree.fromstring(junit(findings, {**TEXTS, "b.md": []}))
    suites = {suite.get("name"): suite for suite in root}
    assert suites["a.md"].get("failures") == "2"
    assert suites["b.md"].get("failures") == "0" and len(suites["b.md"]) == 1


def test_github_escapes_what_its_commands_cannot_hold(findings: list[Finding]) -> None:
    first = github(findings, TEXTS).split("\n")[0]
    assert first.startswith("::error file=a.md,line=4,col=31,endColumn=38,title=OB301 will-not-run::")
    from dataclasses import replace

    assert "100%25%0Ab" in github([replace(findings[0], message="100%\nb")], TEXTS)


def test_the_reference_page_holds_every_rule() -> None:
    page = reference()
    assert all(f"{rule.id} {rule.name}" in page and rule.reason in page for rule in all_rules())
