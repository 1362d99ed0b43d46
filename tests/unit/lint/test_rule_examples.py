"""Every rule finds its own bad example, and stays silent on its good one."""

from __future__ import annotations

import pytest

from opsbook.manual.document import read_document
from opsbook.manual.lint import Choice, Rule, all_rules, lint_document
from opsbook.manual.lint.shellcheck import shellcheck_path

RULES = all_rules()


def _skip_without_its_program(rule: Rule) -> None:
    if rule.needs == "shellcheck" and shellcheck_path() is None:
        pytest.skip("shellcheck is not installed")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.id}-{rule.name}")
def test_it_finds_its_bad_example(rule: Rule) -> None:
    _skip_without_its_program(rule)
    found = lint_document(read_document(rule.bad, "bad.md"), choice=Choice(select=(rule.id,)))
    assert rule.id in {finding.rule for finding in found}, [f"{f.rule} {f.message}" for f in found]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.id}-{rule.name}")
def test_it_is_silent_on_its_good_example(rule: Rule) -> None:
    _skip_without_its_program(rule)
    found = lint_document(read_document(rule.good, "good.md"))
    assert rule.id not in {finding.rule for finding in found}, [f"{f.line} {f.message}" for f in found]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.id}-{rule.name}")
def test_it_says_what_why_and_where_from(rule: Rule) -> None:
    assert rule.summary and not rule.summary.endswith(".")
    assert len(rule.reason) > 40
    assert rule.source
    assert rule.check.__doc__


def test_no_two_rules_share_a_name() -> None:
    names = [rule.name for rule in RULES]
    assert len(names) == len(set(names))
