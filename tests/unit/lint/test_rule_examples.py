"""Every rule finds its own bad example, and stays silent on its good one."""

from __future__ import annotations

import pytest

from opsbook.manual.document import read_document
from opsbook.manual.lint import Choice, Finding, Rule, all_rules, lint_document
from opsbook.manual.lint.repository import Repository
from opsbook.manual.lint.shellcheck import shellcheck_path

RULES = all_rules()
ALONE = tuple(rule for rule in RULES if rule.needs not in ("two manuals", "a book"))  # these have tests of their own
AROUND = Repository(frozenset({"README.md", "scripts/backup.sh", "k8s/api.yaml"}))


def _lint(text: str, name: str, choice: Choice | None = None) -> list[Finding]:
    return lint_document(read_document(text, name), choice=choice, repository=AROUND)


def _skip_without_its_program(rule: Rule) -> None:
    if rule.needs == "shellcheck" and shellcheck_path() is None:
        pytest.skip("shellcheck is not installed")


@pytest.mark.parametrize("rule", ALONE, ids=lambda rule: f"{rule.id}-{rule.name}")
def test_it_finds_its_bad_example(rule: Rule) -> None:
    _skip_without_its_program(rule)
    found = _lint(rule.bad, "bad.md", Choice(select=(rule.id,)))
    assert rule.id in {finding.rule for finding in found}, [f"{f.rule} {f.message}" for f in found]


@pytest.mark.parametrize("rule", ALONE, ids=lambda rule: f"{rule.id}-{rule.name}")
def test_it_is_silent_on_its_good_example(rule: Rule) -> None:
    _skip_without_its_program(rule)
    found = _lint(rule.good, "good.md", Choice(select=(rule.id,)))
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
