"""Rule files of Prometheus become checks, and what was generated becomes the checks that it was made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from opsbook.book.checks import Check
from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.cli.main import cli
from opsbook.manual.extract.rule_files import is_rule_file
from opsbook.manual.importing.rule_checks import RuleChecks, checks_of_rules
from opsbook.watch.generate.options import Places
from opsbook.watch.generate.rules import rules_text

RENEC = Path(__file__).parents[3] / "examples" / "renec" / "ops" / "book.yaml"


def read(*rules: dict[str, Any], procedures: tuple[str, ...] = ()) -> RuleChecks:
    import yaml

    text = yaml.safe_dump({"groups": [{"name": "g", "rules": list(rules)}]}, sort_keys=False)
    assert is_rule_file("rules.yml", text)
    found = checks_of_rules([("rules.yml", text)], catalogue(), "prom", procedures)
    for check, _ in found.checks:
        Check.model_validate(check)
    return found


def rule(expression: str, name: str = "HighLoad", severity: str = "critical", **keys: Any) -> dict[str, Any]:
    return {"alert": name, "expr": expression, "labels": {"severity": severity}, **keys}


@pytest.mark.parametrize(
    ("expression", "observe", "with_", "critical"),
    [
        ("sum(queue) > 100", "query", {"query": "sum(queue)"}, "> 100"),
        ("100 < sum(queue)", "query", {"query": "sum(queue)"}, "> 100"),
        ("queue > 100", "query", {"query": "queue", "take": "max"}, "> 100"),
        ("sum(a) / sum(b) > 0.05", "ratio", {"query": "sum(a) / sum(b)"}, "> 5%"),
        ("100 * sum(a) / sum(b) > 5", "ratio", {"query": "100 * sum(a) / sum(b)", "percent": True}, "> 5%"),
        ("sum(a) / sum(b) * 100 > 5", "ratio", {"query": "sum(a) / sum(b) * 100", "percent": True}, "> 5%"),
        ("max(job_seconds) > 0.25", "duration", {"query": "max(job_seconds)"}, "> 250ms"),
        ("max(heap_bytes) > 2147483648", "size", {"query": "max(heap_bytes)"}, "> 2GiB"),
        ("sum(rate(errors_total[5m])) > 5", "rate", {"query": "sum(rate(errors_total[5m]))"}, "> 5/s"),
        ("up == 0", "query", {"query": "count(up == 0) or vector(0)"}, "> 0"),
        ("absent(up)", "query", {"query": "count(absent(up)) or vector(0)"}, "> 0"),
        ("a > 1 and b > 2", "query", {"query": "count(a > 1 and b > 2) or vector(0)"}, "> 0"),
        ("(sum(a) > 0) > 5", "query", {"query": "count((sum(a) > 0) > 5) or vector(0)"}, "> 0"),
    ],
)
def test_an_alert_becomes_a_value_and_its_limit(
    expression: str, observe: str, with_: dict[str, Any], critical: str
) -> None:
    ((check, place),) = read(rule(expression, **{"for": "5m"})).checks
    assert check == {
        "id": "high-load", "title": "HighLoad", "observe": f"prometheus.{observe}", "of": "prom", "with": with_,
        "critical": critical, "for": "5m",
    }  # fmt: skip
    assert place == "rules.yml:4"


def test_two_alerts_of_one_expression_are_one_check() -> None:
    ((check, _),) = read(rule("sum(a) > 9", "Many"), rule("sum(a) > 5", "Some", "warning")).checks
    assert (check["id"], check["warning"], check["critical"]) == ("many", "> 5", "> 9")
    assert len(read(rule("sum(a) > 9"), rule("sum(a) > 5", "B", "warning", **{"for": "5m"})).checks) == 2


def test_a_runbook_is_a_procedure_where_the_book_has_it_and_a_question_where_not() -> None:
    known = {"annotations": {"runbook_url": "https://wiki/runbooks/restart-api.md#now"}}
    found = read(rule("sum(a) > 9", **known), procedures=("restart-api",))
    assert found.checks[0][0]["procedure"] == "restart-api"
    assert "procedure" not in (asked := read(rule("sum(a) > 9", **known))).checks[0][0]
    assert "restart-api.md" in asked.decide[0].text


def test_what_is_no_promql_and_what_is_no_yaml_is_told() -> None:
    assert "no PromQL" in read(rule("sum(")).decide[0].text
    assert "no alert could be read" in checks_of_rules([("r.yml", "groups: [")], catalogue(), "prom").decide[0].text


def test_a_file_of_the_operator_is_read_too() -> None:
    text = "kind: PrometheusRule\nspec:\n  groups:\n  - name: g\n    rules:\n    - alert: A\n      expr: sum(a) > 1\n"
    assert is_rule_file("prometheus-rule.yaml", text)
    assert [place for _, place in checks_of_rules([("r.yaml", text)], catalogue(), "prom").checks] == ["r.yaml:6"]


@pytest.mark.parametrize("exporters", [(), ("node", "postgres", "redis")])
def test_generated_rules_read_back_are_the_checks_that_they_were_made_of(exporters: tuple[str, ...]) -> None:
    system = in_environment(load_book(RENEC, catalogue()), "rehearsal-strict")
    text = rules_text(system, Places(exporters=frozenset(exporters)))
    found = checks_of_rules([("rules.yml", text)], catalogue(), "prometheus")
    again = {check["id"]: Check.model_validate(check) for check, _ in found.checks}
    assert found.decide == []
    assert again == {check.id: check for check in system.checks if check.observe != "prometheus.up"}


def test_what_was_changed_in_a_generated_rule_is_changed_in_its_check() -> None:
    system = in_environment(load_book(RENEC, catalogue()), "rehearsal-strict")
    text = rules_text(system, Places())
    for old, new in (
        ("> 0.2\n        for: 5m", "> 0.3\n        for: 7m"),
        ("> 0.1\n        for: 5m", "> 0.1\n        for: 7m"),
    ):
        assert old in text
        text = text.replace(old, new)
    found = {check["id"]: check for check, _ in checks_of_rules([("r.yml", text)], catalogue(), "p").checks}
    changed = found["api-latency"]
    assert (changed["critical"], changed["warning"], changed["for"]) == ("> 300ms", "> 100ms", "7m")


def test_rules_of_opsbook_without_their_checks_are_not_read_as_checks_of_opsbook() -> None:
    system = in_environment(load_book(RENEC, catalogue()), "rehearsal-strict")
    bare = "\n".join(line for line in rules_text(system, Places()).splitlines() if "# book:" not in line)
    found = checks_of_rules([("r.yml", bare)], catalogue(), "p")
    assert found.checks == []
    assert "without the check it is of" in found.decide[0].text


def test_a_rule_file_beside_a_manual_goes_into_its_book_and_alone_it_makes_none(tmp_path: Path) -> None:
    (tmp_path / "shop.md").write_text("# Shop operations\n\n## Components\n\n- **API**: FastAPI, deployment `api`\n")
    (tmp_path / "rules.yml").write_text(
        "groups:\n- name: g\n  rules:\n  - {alert: Long, expr: sum(queue) > 5, for: 5m}\n"
    )
    names, out = [str(tmp_path / "shop.md"), str(tmp_path / "rules.yml")], str(tmp_path / "ops")
    assert CliRunner().invoke(cli, ["import", *names, "--out", out], catch_exceptions=False).exit_code == 0
    system = in_environment(load_book(tmp_path / "ops" / "book.yaml", catalogue()), "production")
    (check,) = [one for one in system.checks if one.id == "long"]
    assert (check.of, str(check.critical), check.for_.total_seconds()) == ("prometheus", "> 5", 300)
    refused = CliRunner().invoke(cli, ["import", names[1], "--out", out])
    assert "rule files alone make no book" in str(refused.exception)
