"""What lint says of a book itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from opsbook.book.load import load_book
from opsbook.catalogue import catalogue
from opsbook.cli.lint import command
from opsbook.manual.lint import Choice, Rule, Severity, all_rules, lint_book

RULES = tuple(rule for rule in all_rules() if rule.needs == "a book")
BOOK = """opsbook: 1
system: shop
environments: {production: {}, staging: {}}
components: {site: {kind: http, url: http://127.0.0.1:1}}
contacts: {ana: {}, bob: {}}
oncall:
  first: {members: [ana], start: 2026-01-05T09:00:00, backup: night}
  night: {members: [bob], start: 2026-01-05T09:00:00, hours: {days: [MO, TU], start: "18:00", end: "23:00"}}
"""
"""Nights are of `first` alone: what they leave out is its own."""
GAP = BOOK.replace("start: 2026-01-05T09:00:00, backup: night", "start: 2026-01-05T09:00:00, hours: {}, backup: night")


def lint(folder: Path, text: str, *words: str) -> Result:
    (folder / "book.yaml").write_text(text)
    return CliRunner().invoke(command, [str(folder), *words], standalone_mode=False, catch_exceptions=False)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.id}-{rule.name}")
def test_it_finds_its_bad_example_and_is_silent_on_its_good_one(rule: Rule, tmp_path: Path) -> None:
    for text, there in ((rule.bad, True), (rule.good, False)):
        (tmp_path / "book.yaml").write_text(text)
        found = lint_book(load_book(tmp_path / "book.yaml", catalogue()), text, Choice(select=(rule.id,)))
        assert bool(found) is there, [f"{one.line} {one.message}" for one in found]


def test_it_finds_the_times_in_which_nobody_is_on_call_and_fails(tmp_path: Path) -> None:
    done = lint(tmp_path, GAP, "--format", "json")
    (found,) = json.loads(done.stdout)["findings"]
    assert (found["rule"], found["line"], found["severity"]) == ("OB701", 7, Severity.WARNING)
    assert "first: Mon 17:00–18:00, Mon 23:00–Tue 09:00" in found["message"]
    assert done.return_value == 1
    assert "::warning file=" in lint(tmp_path, GAP, "--format", "github").stdout
    assert json.loads(lint(tmp_path, GAP, "--format", "sarif").stdout)["runs"][0]["results"][0]["ruleId"] == "OB701"


def test_a_rotation_that_only_stands_in_need_not_be_there_always(tmp_path: Path) -> None:
    assert lint(tmp_path, BOOK).return_value == 0
    paged = BOOK + "escalation: [{level: L1, notify: first}, {level: L2, notify: night}]\n"
    done = lint(tmp_path, paged)
    assert "night" in done.stdout and done.return_value == 1


def test_a_line_of_the_book_answers_it_with_a_reason(tmp_path: Path) -> None:
    above = GAP.replace("  first:", "  # opsbook: ignore OB701 the shop is closed at night\n  first:")
    assert lint(tmp_path, above).return_value == 0
    beside = GAP.replace("backup: night}", "backup: night}  # opsbook: ignore OB701 the shop is closed")
    assert lint(tmp_path, beside).return_value == 0
    assert lint(tmp_path, GAP.replace("backup: night}", "backup: night}  # opsbook: ignore OB701")).return_value == 1
    assert lint(tmp_path, GAP, "--ignore", "OB701").return_value == 0
    assert lint(tmp_path, GAP, "--select", "OB1*").return_value == 0
