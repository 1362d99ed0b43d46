"""Fixes, inline answers, baselines, choices and gates."""

from __future__ import annotations

import pytest

from opsbook.errors import UsageError
from opsbook.manual.document import read_document
from opsbook.manual.lint import Choice, Finding, Severity, lint_document
from opsbook.manual.lint.baseline import without_known, write_baseline
from opsbook.manual.lint.fix import apply_fixes, fix_diff
from opsbook.manual.lint.gate import fails

COMPOSE = "# A\n\n```bash\ndocker-compose pull && docker-compose up -d\n```\n"
KEYS = "# A\n\n{above}```bash\nredis-cli KEYS 'a:*'{behind}\n```\n"


def _lint(text: str, *select: str) -> list[Finding]:
    return lint_document(read_document(text, "a.md"), choice=Choice(select=select))


def test_it_applies_safe_fixes_everywhere_at_once() -> None:
    fixed = apply_fixes(COMPOSE, _lint(COMPOSE, "OB304"))
    assert "docker compose pull && docker compose up -d" in fixed.text
    assert not _lint(fixed.text, "OB304")


def test_it_keeps_line_ends() -> None:
    text = COMPOSE.replace("\n", "\r\n")
    fixed = apply_fixes(text, _lint(text, "OB304")).text
    assert fixed == COMPOSE.replace("docker-compose", "docker compose").replace("\n", "\r\n")


def test_it_shows_the_other_fixes_as_a_diff_and_leaves_the_text() -> None:
    text = "```bash\nkubectl rollout restart deployment/api -n shop\nkubectl exec -n shop api-0 -- date\n```\n"
    found = _lint(text, "OB311")
    assert apply_fixes(text, found).text == text
    assert "+kubectl exec -n shop deployment/api -- date" in fix_diff(text, found, "a.md")


def test_a_fix_of_renamed_columns_changes_every_place_of_the_statement() -> None:
    text = "```sql\nSELECT mean_time FROM pg_stat_statements ORDER BY mean_time;\n```\n"
    assert apply_fixes(text, _lint(text, "OB202")).text.count("mean_exec_time") == 2


@pytest.mark.parametrize(
    ("above", "behind"),
    [
        ("<!-- opsbook: ignore OB603 a hundred keys only -->\n\n", ""),
        ("", "  # opsbook: ignore OB603 a hundred keys only"),
        ("<!-- opsbook: ignore-file OB603 - known -->\n\n", ""),
    ],
)
def test_an_answer_with_a_reason_silences_the_rule(above: str, behind: str) -> None:
    assert _lint(KEYS.format(above=above, behind=behind)) == []


def test_an_answer_without_a_reason_silences_nothing_and_is_told() -> None:
    found = {f.rule for f in _lint(KEYS.format(above="<!-- opsbook: ignore OB603 -->\n\n", behind=""))}
    assert found == {"OB590", "OB603"}


def test_an_answer_speaks_for_its_own_block_only() -> None:
    first = KEYS.format(above="<!-- opsbook: ignore OB603 known -->\n\n", behind="")
    found = _lint(first + "\n```bash\nredis-cli KEYS 'b:*'\n```\n")
    assert [f.line for f in found] == [10]


def test_a_baseline_lets_only_new_findings_through() -> None:
    text = KEYS.format(above="", behind="")
    texts = {"a.md": text.split("\n")}
    known = write_baseline(_lint(text, "OB603"), texts)
    assert without_known(_lint(text, "OB603"), texts, known) == []
    grown = "\n\n" + text + "\n```bash\nredis-cli KEYS 'b:*'\n```\n"
    left = without_known(_lint(grown, "OB603"), {"a.md": grown.split("\n")}, known)
    assert [f.line for f in left] == [10]


def test_a_file_that_is_no_baseline_is_refused() -> None:
    with pytest.raises(UsageError):
        without_known([], {}, "{}")


def test_it_selects_and_ignores_by_id_name_class_and_pattern() -> None:
    text = KEYS.format(above="", behind="")
    assert _lint(text, "redis-keys") and _lint(text, "OB6*") and _lint(text, "unsafe-practice")
    assert lint_document(read_document(text, "a.md"), choice=Choice(ignore=("OB603",))) == []


def test_a_rule_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(UsageError, match="OB999"):
        _lint("# A", "OB999")


def test_the_gate_counts_from_its_severity_upward() -> None:
    found = _lint(KEYS.format(above="", behind=""), "OB603")
    assert fails(found, Severity.WARNING) and not fails(found, Severity.ERROR) and not fails(found, None)


def test_hints_are_few() -> None:
    text = "# A\n\n" + "".join(f"```bash\ncurl http://h{n}.shop.internal/health\n```\n\n" for n in range(30))
    found = lint_document(read_document(text, "a.md"))
    assert len(found) == 1 and len(found[0].also) == 29
