"""Manuals that are cut off or damaged: lint reads what it can and never fails."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from opsbook.manual.document import read_document
from opsbook.manual.lint import Choice, lint_document
from opsbook.manual.lint.rule import Fault, all_rules

TEXTS = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*/*.md"))]
ODD = ('"', "'", "`", "(", "{", "|", "\\", "$(", "<<EOF", "```", "\x00", "\t", "\u202e", "]" * 50, "x" * 5000)


@pytest.mark.parametrize("seed", range(12))
def test_it_never_fails(seed: int) -> None:
    chance = random.Random(seed)
    lines = chance.choice(TEXTS).split("\n")
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(lines))
        lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)] + chance.choice(ODD)
    start = chance.randrange(len(lines))
    text = "\n".join(lines[start:])
    for finding in lint_document(read_document(text, "broken.md")):
        assert 1 <= finding.line <= text.count("\n") + 1
        assert finding.column >= 1 and finding.end_column > finding.column


@pytest.mark.parametrize(
    "text", ["", "\n", "# ", "```", "```bash", "---\na: b\n---\n", "\ufeff# A\r\n\r\n```bash\r\nls\r\n```\r\n"]
)
def test_it_reads_next_to_nothing(text: str) -> None:
    assert lint_document(read_document(text, "empty.md")) == []


def test_a_rule_that_fails_is_told_and_takes_nothing_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# Runbook\n\n```bash\nkubectl logs -f\nredis-cli FLUSHALL\n```\n"
    document = read_document(text, "runbook.md")
    whole = lint_document(document)
    failing = next(rule for rule in all_rules() if rule.id == whole[0].rule)

    def fail(_: object) -> Iterator[Fault]:
        raise IndexError("list index out of range")

    rules = tuple(replace(rule, check=fail) if rule is failing else rule for rule in all_rules())
    monkeypatch.setattr("opsbook.manual.lint.engine.all_rules", lambda: rules)
    told: list[str] = []
    left = lint_document(document, None, Choice(broken=told.append))
    assert left == [finding for finding in whole if finding.rule != failing.id]
    assert told == [
        f"runbook.md: rule {failing.id} ({failing.name}) could not judge it: IndexError: list index out of range"
    ]
    with pytest.raises(IndexError):
        lint_document(document)
