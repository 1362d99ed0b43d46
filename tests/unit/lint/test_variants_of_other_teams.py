"""Faults as other teams would write them: each is found; and what only looks like one is left alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.unit.lint import variants_of_commands, variants_of_documents, variants_of_harm, variants_of_inventory

from opsbook.manual.document import read_document
from opsbook.manual.lint import Choice, Severity, lint_document, shellcheck
from opsbook.manual.lint.context import Context

TABLES = (variants_of_commands, variants_of_documents, variants_of_harm, variants_of_inventory)
FAULTY = [(rule, text) for table in TABLES for rule, text in table.FAULTY]
QUIET = [text for table in TABLES for text in table.QUIET]


def loud(text: str, *rules: str) -> list[str]:
    """The findings of these rules, or of all, that are more than hints."""
    findings = lint_document(read_document(text, "m.md"), choice=Choice(select=rules) if rules else None)
    return [finding.rule for finding in findings if finding.severity is not Severity.HINT]


@pytest.fixture(scope="module")
def asked_at_once() -> Iterator[None]:
    """shellcheck is asked once about all blocks, not once for each text; about those with a complaint, again."""
    ask = shellcheck.complaints
    blocks = [one for text in QUIET for one in Context(read_document(text, "m.md"), None).scripts]
    bad = {said.block.text for said in ask([one for one in blocks if one.fence and one.fence.language == "bash"])}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shellcheck, "complaints", lambda asked: ask([one for one in asked if one.text in bad]))
        yield


@pytest.mark.parametrize(("rule", "text"), FAULTY)
def test_it_finds_the_variant(rule: str, text: str) -> None:
    # Rules judge alone: what the others find changes nothing.
    assert rule in loud(text, rule)


@pytest.mark.usefixtures("asked_at_once")
@pytest.mark.parametrize("text", QUIET)
def test_it_leaves_what_is_in_order(text: str) -> None:
    assert loud(text) == []
